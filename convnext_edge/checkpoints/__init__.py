"""Trained weights: where they come from, how their tensors are named, and which ConvNeXt they make.

The network itself is in `network`; the files that we write are in `artifacts`.
"""
