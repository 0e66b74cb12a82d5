"""The commands: one module (or folder) each, with its function, its result, and how the result prints itself.

What a command decides by is in the packages below, and what Click makes of its signature in `cli`.

declaration  `@command`, and what an annotation says of a parameter
options      parameters that several commands have
preparation  what quantizing commands begin with: model, recipe and images
result, text the base of results, and how text for a terminal is laid out
rows         rows of a table, for `compare` and `report`
"""
