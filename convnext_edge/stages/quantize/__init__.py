"""quantize: an INT8 ONNX file with Q/DQ nodes, from weights and calibration images."""

from convnext_edge.stages.quantize.stage import METHODS, quantize

__all__ = ["METHODS", "quantize"]
