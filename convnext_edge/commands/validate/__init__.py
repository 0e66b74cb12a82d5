"""The command `validate`: any artifact on any target against the FP32 PyTorch reference, image by image.

command  the function and its options
run      both models over the images, and the fields of the result that follow
shards   the same by several processes, each of which answers a share of the images
result   what was found, and how it reads
"""
