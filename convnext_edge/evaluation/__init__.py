"""How good a model is: candidates compared with the FP32 reference, their times, and the results kept.

The packages below make the models; the commands choose which figures to show.
"""
