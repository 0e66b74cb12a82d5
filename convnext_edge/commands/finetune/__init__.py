"""finetune: training with quantization in the loop, towards the FP32 reference.

command    the function, its result, and what decides a run
data       which images a step sees, and how they are cut
training   the loop: loss, schedule, optimizer
snapshots  what a run needs to go on after it was killed
run        the loop from the start or a snapshot, and what it brought
processes  several of them, on one machine or more
"""
