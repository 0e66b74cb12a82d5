"""A grid of models, methods and targets, cell by cell: from a TOML file, here or on the workers of Ray.

begin     what is asked for, checked before PyTorch is imported
file      the TOML file, read and checked before any work
plan      what is to be done: models, methods, targets, and their cells
run       a grid, and what it came to
here      all cells in this process, one by one
on_ray    all cells on the workers of Ray
cluster   Ray: started or reached, and kept quiet
steps     the work on a cell: make, check, time; each step takes what is kept
identity  what a part of a cell is known by: digests of all that its result follows from
kept      the parts that are done, in the workspace
outcome   how a step ended: with its result, or with the reason why there is none
table     the rows, and the table that shows them
"""
