"""What XNNPACK needs of a graph to be fast, in ExecuTorch and LiteRT: depthwise convolutions of few values.

Its depthwise kernels have 25 values at most. One of 7x7 would run in the kernel for all other convolutions, a
channel at a time, which on ARM64 is six times as many instructions. So its rows are shared out to three that
are added up: rows 0, 3, 6 and 1, 5 and 2, 4. Each is a convolution with gaps (`dilations`) and as much
padding above as below, of 21 values and twice 14. Neighbouring rows would be
fewer values, but need copies of the map.
https://github.com/google/XNNPACK/blob/master/src/configs/dwconv-config.c
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convnext_edge.onnx_graph.lookup import add_constant, initializers, prune_constants, read_attribute

LARGEST = 25  # values of a depthwise kernel
Piece = tuple[list[int], int]  # rows of a kernel, and how many rows lie between one and the next


def split_depthwise(model: ModelProto) -> None:
    """Turn each depthwise convolution in float that is too large into several, and their sum."""
    constants = initializers(model)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        weight = constants.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is not None and _is_splittable(node, weight):
            nodes.extend(_split(model, node, numpy_helper.to_array(weight)))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    prune_constants(model)


def pieces(edge: int) -> list[Piece]:
    """Return which rows of a kernel go together: pairs about the middle one, and that with the outer."""
    middle = edge // 2
    pairs = [([middle - apart, middle + apart], 2 * apart) for apart in range(middle - 1, 0, -1)]
    return [([0, middle, edge - 1], middle), *pairs]


def _is_splittable(node: NodeProto, weight: TensorProto) -> bool:
    """Whether a convolution is depthwise, too large, as large out as in, and its pieces are small enough."""
    channels, inputs, edge, width = weight.dims
    depthwise = inputs == 1 and read_attribute(node, "group", 1) == channels
    fits = edge == width and edge % 2 == 1 and edge * edge > LARGEST >= 3 * edge
    same = list(read_attribute(node, "pads", [0] * 4)) == [edge // 2] * 4
    plain = all(set(read_attribute(node, name, [1])) == {1} for name in ("strides", "dilations"))
    return depthwise and fits and same and plain


def _split(model: ModelProto, node: NodeProto, weight: NDArray[np.float32]) -> Iterator[NodeProto]:
    """Yield the convolutions, and the sums of what they give; the bias is in the first."""
    edge = weight.shape[2]
    total = ""
    for number, (rows, dilation) in enumerate(pieces(edge)):
        name = f"{node.name}/rows_{'_'.join(map(str, rows))}"
        add_constant(model, f"{name}/weight", weight[:, :, rows])
        border = dilation * (len(rows) - 1) // 2
        yield helper.make_node(
            "Conv",
            [node.input[0], f"{name}/weight", *(node.input[2:] if number == 0 else [])],
            [f"{name}/output"],
            name=name,
            group=len(weight),
            kernel_shape=[len(rows), edge],
            dilations=[dilation, 1],
            pads=[border, edge // 2] * 2,
        )
        if number == 0:
            total = f"{name}/output"
            continue
        last = number == len(pieces(edge)) - 1
        summed = node.output[0] if last else f"{name}/sum"
        yield helper.make_node("Add", [total, f"{name}/output"], [summed], name=f"{name}/add")
        total = summed
