"""TensorRT and TensorRT-RTX: the target, the builder of engines, sessions on a GPU, folders for `trtexec`.

How a graph gets its FP16 parts is in `onnx_graph`.
"""
