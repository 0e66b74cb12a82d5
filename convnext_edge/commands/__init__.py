"""One verb, one command, one module: each a typed function of the command's name."""
