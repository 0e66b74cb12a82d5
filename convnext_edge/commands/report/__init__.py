"""The command `report`: what was measured in a workspace, as a page that needs no other file, or as tables.

command    the function, its options and its result
asked      in which form it is written
groups     which rows may be compared, and what each is called
verdict    which of them to ship, and why, in one sentence
repeating  the commands from the checkpoint to a row
table      a table with one line for each model and one column for each figure
charts     the geometry of charts: axes, and where on them values are
strips     charts with one line for each model: bars, intervals, distributions of latency
scatter    accuracy against latency
layers     what each layer costs and takes, and the values of the worst
details    classes, confidence, pictures whose answer changed; machines and versions
thumbnails small pictures of images whose answer changed
page       all of it together, for the templates
formats    Markdown, JSON, CSV

The folder `templates` has the page in HTML and in Markdown, and its style.
"""
