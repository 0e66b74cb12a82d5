"""Quantization: what `quantize`, `finetune` and `sensitivity` have in common.

quantizer    where Q/DQ goes
observers    how ranges become scales
smoothing    scales moved into the weights before calibration
statistics   what calibration learns of each layer's input
rounding     weights put on their grids
ptq          torchao's prepare, calibrate, convert
fake         what stands in for Q/DQ while training
nncf         the same placement, with NNCF's SmoothQuant and bias correction
ort          ONNX Runtime's quantize_static as its users call it, to compare with
"""
