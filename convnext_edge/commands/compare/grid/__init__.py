"""A grid of models, methods and targets, cell by cell: from a TOML file, here or on the workers of Ray.

file      the TOML file, read and checked before any work
plan      what is to be done: models, cells, and what all cells share
identity  what a part of a cell is known by: digests of all that its result follows from
kept      the parts that are done, in the workspace
steps     the work on a cell: quantize and build, validate, time; each step takes what is kept
here      all cells in this process, one by one
cluster   Ray: started or reached, and kept quiet
tasks     the steps as tasks of Ray
on_ray    all cells on the workers of Ray
table     the rows, and the table that shows them
"""
