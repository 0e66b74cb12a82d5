"""Operators of ONNX that move values and compute nothing: each gives the same term in another layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import NodeProto

from convnext_edge.checkpoints.onnx_weights.constants import full_shape, slices
from convnext_edge.checkpoints.onnx_weights.nodes import Array, NotUnderstoodError, stated, whole
from convnext_edge.checkpoints.onnx_weights.terms import Algebra
from convnext_edge.checkpoints.onnx_weights.values import Atom, LayoutError, Value, regrouped
from convnext_edge.onnx_graph.lookup import read_attribute

Inputs = Sequence[Any]


def shaped(x: Value, shape: Sequence[int]) -> Value:
    """Return a value in another shape."""
    return Value(x.term, regrouped(x, shape))


def _same(_algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
    found: Value = inputs[0]
    return found


def _dropout(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    if len(inputs) > 2 and inputs[2] is not None and np.any(inputs[2]):
        raise NotUnderstoodError("drops values at random: the model was exported in training mode")
    return _same(algebra, node, inputs)


def _transpose(_algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    x: Value = inputs[0]
    order = read_attribute(node, "perm", list(range(len(x.axes)))[::-1])
    if sorted(order) != list(range(len(x.axes))):
        raise NotUnderstoodError(f"has the order {list(order)} for {len(x.axes)} axes")
    return Value(x.term, tuple(x.axes[index] for index in order))


def _reshape(_algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
    x, wanted = inputs
    if not isinstance(wanted, np.ndarray):
        raise NotUnderstoodError("computes its shape from the image")
    sizes = whole(wanted)
    if len(sizes) > len(x.axes) and 0 in sizes[len(x.axes) :]:
        raise NotUnderstoodError(f"has the shape {sizes}")
    return shaped(x, full_shape(x.shape, sizes))


def _gather(_algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    """Take all elements of a flat value in their order, as PyTorch's exporter writes as_strided."""
    x, indices = inputs
    if not isinstance(indices, np.ndarray) or len(x.axes) != 1 or read_attribute(node, "axis", 0):
        raise NotUnderstoodError("takes a part of what it reads")
    if not np.array_equal(indices.ravel(), np.arange(x.shape[0])):
        raise NotUnderstoodError("takes elements in another order")
    return shaped(x, indices.shape)


def _flatten(_algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    shape = inputs[0].shape
    axis = read_attribute(node, "axis", 1)
    return shaped(inputs[0], [prod(shape[:axis]), prod(shape[axis:])])


def _squeeze(_algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    x: Value = inputs[0]
    axes = stated(node, inputs, "axes", 1)
    gone = (
        {i for i, axis in enumerate(x.axes) if not axis} if axes is None else {i % len(x.axes) for i in axes}
    )
    if any(x.axes[index] for index in gone):
        raise LayoutError(f"of axes {x.labels}, of which it takes some away")
    return Value(x.term, tuple(axis for index, axis in enumerate(x.axes) if index not in gone))


def _unsqueeze(_algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    x: Value = inputs[0]
    axes = stated(node, inputs, "axes", 1) or []
    rank = len(x.axes) + len(axes)
    new, rest = {index % rank for index in axes}, iter(x.axes)
    return Value(x.term, tuple(() if index in new else next(rest) for index in range(rank)))


def _expand(_algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
    x, shape = inputs
    if not isinstance(shape, np.ndarray) or np.broadcast_shapes(x.shape, tuple(whole(shape))) != x.shape:
        raise NotUnderstoodError("repeats values")
    return x  # type: ignore[no-any-return]


def _slice(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    """Cut rows and columns off behind, as a stride does with what it does not divide."""
    x: Value = inputs[0]
    axes, cut = list(x.axes), {}
    for index, kept in slices(node, inputs, len(axes)).items():
        size = x.shape[index]
        start, stop, step = kept.indices(size)
        if (start, stop, step) == (0, size, 1):
            continue
        if start or step != 1 or x.labels[index] not in ("h", "w") or stop <= 0:
            raise NotUnderstoodError(f"takes {start}:{stop}:{step} of axis {x.labels[index] or index}")
        cut[x.labels[index]] = stop
        axes[index] = (Atom(x.labels[index], stop),)
    if not cut:
        return x
    before = (x.size("h"), x.size("w"))
    left = tuple(size - cut.get(label, size) for label, size in zip("hw", before, strict=True))
    return Value(algebra.call("crop", x.term, left), tuple(axes))


def _pad(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    """Put zeros around rows and columns."""
    x: Value = inputs[0]
    pads = stated(node, inputs, "pads", 1)
    mode, fill = read_attribute(node, "mode", b"constant"), read_attribute(node, "value", 0.0)
    if len(inputs) > 2 and inputs[2] is not None:
        fill = inputs[2]
    if pads is None or mode != b"constant" or np.any(fill) or (len(inputs) > 3 and inputs[3] is not None):
        raise NotUnderstoodError("pads with something else than zeros")
    rank = len(x.axes)
    if (
        len(pads) != 2 * rank
        or min(pads) < 0
        or any(
            before or after
            for before, after, label in zip(pads[:rank], pads[rank:], x.labels, strict=True)
            if label not in ("h", "w")
        )
    ):
        raise NotUnderstoodError(f"pads {pads} of axes {x.labels}")
    around = {label: (pads[i], pads[rank + i]) for i, label in enumerate(x.labels)}
    axes = tuple(
        (Atom(label, size + sum(around[label])),) if label in ("h", "w") else axis
        for axis, label, size in zip(x.axes, x.labels, x.shape, strict=True)
    )
    (top, bottom), (left, right) = around.get("h", (0, 0)), around.get("w", (0, 0))
    return Value(algebra.call("pad", x.term, (top, left, bottom, right)), axes)


def dimensions(node: NodeProto, x: Value) -> Array:
    """Return what the operator Shape gives."""
    start, end = read_attribute(node, "start", 0), read_attribute(node, "end", None)
    return np.array(x.shape[start:end], np.int64)


MOVES: dict[str, Callable[[Algebra, NodeProto, Inputs], Value]] = {
    "Identity": _same,
    "Cast": _same,  # between types of floats, and from the bytes of the image
    "CastLike": _same,
    "Dropout": _dropout,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Gather": _gather,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "Slice": _slice,
    "Pad": _pad,
}
