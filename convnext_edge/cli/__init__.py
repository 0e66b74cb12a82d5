"""The command line: each command parses, calls the function of its name, and prints what it returns.

frame      the group of all commands, and what they have in common: --json, -v, errors, exit codes
options    options and arguments that several commands have
commands   the commands, by theme
summaries  what a person reads of a result
text       how that is laid out
"""

from convnext_edge.cli.commands import engines, measurements, models, start  # noqa: F401  puts them into main
from convnext_edge.cli.frame import main

__all__ = ["main"]
