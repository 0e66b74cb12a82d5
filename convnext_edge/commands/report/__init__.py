"""report: what was measured in a workspace, as one HTML file that needs nothing beside it.

command  the function and its result
page     the page: tables, charts, how and where it was measured
table    one line a model, one column a figure
charts   bars and intervals as SVG
markup   HTML as a tree
"""
