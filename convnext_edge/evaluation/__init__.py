"""What a model is worth: candidates held against the FP32 reference, timed, and the results that are kept.

How a model is made is the business of the packages below; which figures to show, that of the commands.
"""
