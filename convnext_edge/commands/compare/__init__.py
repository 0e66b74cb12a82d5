"""The command `compare`: methods on targets, of one model or of a grid of them, here or on Ray."""
