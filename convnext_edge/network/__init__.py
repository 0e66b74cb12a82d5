"""ConvNeXt as a PyTorch module: the FP32 reference, and its exact rewrites into the forms that runtimes like.

Weights come from `checkpoints`; INT8 and ONNX are the business of `quantization` and `onnx_graph`.
"""
