"""The runtimes that a model is built for and run with, and the only place that imports a vendor's package.

What a checkpoint holds, how a network is quantized and what is measured of an engine live elsewhere.
"""
