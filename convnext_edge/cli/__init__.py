"""The command line: Click's group of all commands, with the options that their signatures declare.

What a command does, returns and prints is in `commands`.
"""

from convnext_edge.cli.frame import main

__all__ = ["main"]
