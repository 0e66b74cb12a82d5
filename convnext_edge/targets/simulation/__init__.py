"""An ONNX graph as PyTorch, exact in the semantics of Q/DQ, and without the kernels of any runtime.

The target that runs it is `targets.torch`; graphs for phones are made of it in `targets.phones`.
"""
