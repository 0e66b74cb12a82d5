"""The command `compare`: methods on targets, of one model or of a grid of them, here or on Ray.

command  the function and its options
pairs    the pairs of method and target of one model, run one by one
contest  one pair: quantized, built, validated and timed
race     rivals beside our engines
result   what was found, and how it reads

The folder `grid` has what compares many models, cell by cell.
"""
