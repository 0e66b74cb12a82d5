"""Trained weights: where they come from, whose names they have, and which ConvNeXt they make.

The network itself is in `network`; files that we write are in `artifacts`.
"""
