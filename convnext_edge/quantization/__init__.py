"""Quantization: what `quantize`, `finetune` and `sensitivity` have in common.

recipe              what to quantize and how
placement           which layers are quantized
scales              how a weight gets its scale
observers           how an activation gets its range
calibration_images  what calibrates, each image decoded once
recording           runs of a model that record the inputs of its layers
smooth              scales move into the weights
calibrate           ranges and moments of each layer's input
round_weights       weights go to their grids
insert_qdq          Q/DQ nodes go around the chosen layers
ptq                 the four steps in a row: smooth, calibrate, round weights, insert Q/DQ
fake, qat           quantization-aware training, and what stands in for Q/DQ meanwhile
nncf                the same placement, with NNCF's SmoothQuant and bias correction
ort                 ONNX Runtime's quantize_static as its users call it, to compare with
job, start          what a method is given, and how a command gets it
"""
