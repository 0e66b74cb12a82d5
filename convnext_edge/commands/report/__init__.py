"""The command `report`: what was measured in a workspace, as one HTML file that needs no other file.

command  the function, its options and its result
page     the page: tables, charts, and how and on which machine the figures were measured
table    a table with one line for each model and one column for each figure
plots    which charts a model gets, by its task
charts   bars and intervals as SVG
markup   HTML as a tree
"""
