"""Opsets, which are versions of ONNX's operators: those that we write, and what came with which."""

LOWEST, HIGHEST = 17, 22  # that we write: 17 is the first with LayerNormalization
USUAL = 20  # what is written where none is asked for: the first with Gelu
FIRST_WITH_16_BITS = 21  # whose Q/DQ take codes of 16 bits; it changed nothing else that we write
FIRST_WITH_HALF_QDQ = 19  # whose Q/DQ take and give FP16
