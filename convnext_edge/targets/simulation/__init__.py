"""An ONNX graph as PyTorch, exact in the semantics of Q/DQ: what no runtime's kernel has a hand in."""
