"""quantize: an INT8 ONNX file with Q/DQ nodes, from weights and calibration images.

quantizer    where Q/DQ goes
observers    how ranges become scales
ptq          torchao's prepare, calibrate, convert
nncf         the same placement, with NNCF's SmoothQuant and bias correction
ort          ONNX Runtime's quantize_static as its users call it, to compare with
stage        the command
"""

from convnext_edge.stages.quantize.stage import METHODS, quantize

__all__ = ["METHODS", "quantize"]
