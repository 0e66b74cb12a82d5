"""finetune: training with quantization in the loop, towards the FP32 reference.

data         which images a step sees, and how they are cut
training     the loop: loss, schedule, optimizer
checkpoints  what a run needs to go on after it was killed
run          the loop from the start or a checkpoint, and what it brought
processes    several of them, on one machine or more
command      the command
"""

from convnext_edge.commands.finetune.command import finetune

__all__ = ["finetune"]
