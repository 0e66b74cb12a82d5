"""The command `predict`: what a model answers to pictures.

command     the function and its options
given       what pictures may be
arguments   which of the arguments is the model
answers     what the outputs of each task say of a picture
run         from pictures to answers, a batch at a time
outputs     the outputs themselves: kept in memory, saved in a file
result      what is returned
tables      how it prints itself
"""
