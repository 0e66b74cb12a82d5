"""What the tests of INT8 graphs share: the layers of the small model, and the codes of their weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

DEPTHS = (1, 1, 2, 1)
BLOCKS = [f"stages.{stage}.blocks.{block}" for stage, depth in enumerate(DEPTHS) for block in range(depth)]
POINTWISE = {f"{block}.{layer}" for block in BLOCKS for layer in ("pwconv1", "pwconv2")}
DEPTHWISE = {f"{block}.dwconv" for block in BLOCKS}
MULTIPLICATIONS = {*POINTWISE, *(f"stages.{stage}.downsample.conv" for stage in (1, 2, 3)), "head"}
PAIR_LIMIT = 128  # 255 * 128 < 2**15: what a kernel that adds two products in 16 bits can hold


def load(path: Path) -> ModelProto:
    """Read an ONNX file."""
    return onnx.load(path)


def producers(model: ModelProto) -> dict[str, NodeProto]:
    """Return the node that makes each value of a graph."""
    return {output: node for node in model.graph.node for output in node.output}


def weights(model: ModelProto) -> Iterator[tuple[str, np.ndarray]]:
    """Name and codes of each quantized weight, as rows of (out, ..., in)."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    made = producers(model)
    for node in model.graph.node:
        dequantize = made.get(node.input[1]) if node.op_type in ("Conv", "MatMul", "Gemm") else None
        if dequantize is not None and dequantize.op_type == "DequantizeLinear":
            codes = numpy_helper.to_array(held[dequantize.input[0]]).astype(np.int64)
            is_conv = node.op_type == "Conv"
            yield node.name, np.moveaxis(codes, 1, -1) if is_conv else codes.T


def largest_pair(rows: np.ndarray) -> int:
    """Largest |sum| of two neighbours along the input channels."""
    if rows.shape[-1] < 2:
        return int(np.abs(rows).max())
    even = rows.shape[-1] // 2 * 2
    return int(np.abs(rows[..., 0:even:2] + rows[..., 1:even:2]).max())


def pair_sums(model: ModelProto) -> dict[str, int]:
    """Of each weight, the largest sum of a pair that a kernel may form: of input channels, or along a row."""
    return {
        name: max(largest_pair(rows), largest_pair(np.moveaxis(rows, -1, 1).reshape(len(rows), -1)))
        for name, rows in weights(model)
    }
