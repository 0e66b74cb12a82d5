"""The command `benchmark`: an artifact's latency, and its throughput, against the FP32 PyTorch reference.

command  the function and its options
asked    which of the options mean something together, and to the target
run      one batch size: what is timed, in which order
result   what was measured, and how it reads
"""
