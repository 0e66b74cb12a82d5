"""quantize: an INT8 ONNX file with Q/DQ nodes, from weights and calibration images."""

from convnext_edge.commands.quantize.command import METHODS, quantize

__all__ = ["METHODS", "quantize"]
