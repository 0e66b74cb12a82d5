"""What users of a library call, a module a library; imported by the process of a rival alone.

The functions that make a file take `Given`, a folder of their own for it, and options, and return its path.
Those that run one take its path, the number of threads, and options, and return a `Call`.
"""
