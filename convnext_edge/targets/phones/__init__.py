"""The targets for phones: ONNX Runtime's mobile format, ExecuTorch, LiteRT and Core ML, one module each.

Devices are elsewhere: what can run here runs on this machine's CPU, Core ML is simulated.
"""
