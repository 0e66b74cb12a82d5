"""The command `finetune`: training with quantization in the loop, towards the FP32 reference.

command    the function, its result, and what decides a run
data       which images a step gets, and how they are cropped
training   the loop: loss, schedule, optimizer
snapshots  what a run needs to continue after it was killed
run        the loop from the start or from a snapshot, and its result
processes  the processes that train together, on one machine or several
"""
