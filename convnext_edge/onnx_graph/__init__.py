"""ONNX graphs: made from PyTorch modules, looked through, rewritten and saved.

All surgery on a graph is here; what a runtime makes of one is the business of `targets`.
"""
