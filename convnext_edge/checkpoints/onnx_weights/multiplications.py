"""The operators with weights, Conv, MatMul and Gemm, as one: linear layers are convolutions of 1 x 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto

from convnext_edge.checkpoints.onnx_weights.nodes import Array, NotUnderstoodError
from convnext_edge.checkpoints.onnx_weights.terms import Algebra, Kernel
from convnext_edge.checkpoints.onnx_weights.values import Atom, Axis, LayoutError, Value
from convnext_edge.onnx_graph.lookup import read_attribute

Inputs = Sequence[Any]
PATCH = (
    "h1",
    "w1",
    "c",
)  # atoms of a row of patches: a reshape has cut rows and columns in the cells of a map


def convolve(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    """Return a Conv of (N, C, H, W)."""
    x, weight, bias = (*inputs, None)[:3]
    _check_constants(x, weight, bias)
    if weight.ndim != 4 or min(weight.shape) < 1:
        raise NotUnderstoodError(f"has a weight of shape {weight.shape}")
    rows, columns = weight.shape[2:]
    pooled = x.labels == ("n", "c", "", "") and (rows, columns) == (1, 1)
    groups = read_attribute(node, "group", 1)
    if not pooled and x.labels != ("n", "c", "h", "w"):
        raise LayoutError(f"of axes {x.labels}, and not of n, c, h, w")
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or len(weight) % groups:
        raise NotUnderstoodError(
            f"has a weight of shape {weight.shape} in {groups} groups for {x.shape[1]} channels"
        )
    if read_attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NotUnderstoodError("pads by auto_pad; export it with numbers")
    stride, dilation, pads = (
        [int(n) for n in read_attribute(node, name, default)]
        for name, default in (("strides", [1, 1]), ("dilations", [1, 1]), ("pads", [0, 0, 0, 0]))
    )
    if (
        len(stride) != 2
        or len(dilation) != 2
        or len(pads) != 4
        or min(*stride, *dilation) < 1
        or min(pads) < 0
    ):
        raise NotUnderstoodError(f"has strides {stride}, dilations {dilation} and pads {pads}")
    kernel = Kernel(weight, bias, tuple(stride), tuple(pads), tuple(dilation), groups)  # type: ignore[arg-type]
    axes: list[Axis] = [x.axes[0], (Atom("c", len(weight)),)]
    for i, label in enumerate("hw"):
        edge = dilation[i] * (weight.shape[2 + i] - 1) + 1
        size = (x.shape[2 + i] + pads[i] + pads[2 + i] - edge) // stride[i] + 1
        if size < 1:
            raise NotUnderstoodError(f"has a kernel of {edge} for a map of {x.shape[2 + i]}")
        axes.append(() if pooled else (Atom(label, size),))
    return Value(algebra.convolve(x.term, kernel), tuple(axes))


def matmul(algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
    """Return a MatMul of a value, whose last axis are channels or patches, by a weight (in, out)."""
    x, weight = inputs
    _check_constants(x, weight, None)
    return _linear(algebra, x, _plane(weight), None)


def gemm(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    """Return alpha * x @ weight + beta * bias, with the weight (in, out), or (out, in) where it says so."""
    x, weight, bias = (*inputs, None)[:3]
    _check_constants(x, weight, bias)
    if read_attribute(node, "transA", 0):
        raise NotUnderstoodError("transposes what it multiplies")
    plane = _plane(weight)
    plane = (plane.T if read_attribute(node, "transB", 0) else plane) * _like(weight, node, "alpha")
    added = None if bias is None else bias * _like(bias, node, "beta")
    if added is not None:
        added = (
            np.broadcast_to(added.reshape(-1), (plane.shape[1],)) if added.size == 1 else added.reshape(-1)
        )
        if added.shape != (plane.shape[1],):
            raise NotUnderstoodError(f"has a bias of {added.size} values for {plane.shape[1]} outputs")
    return _linear(algebra, x, plane, added)


def _like(values: Array, node: NodeProto, name: str) -> Any:
    return values.dtype.type(read_attribute(node, name, 1.0))


def _check_constants(x: Any, weight: Any, bias: Any) -> None:
    if not isinstance(x, Value):
        raise NotUnderstoodError("multiplies a constant")
    if not isinstance(weight, np.ndarray) or not (bias is None or isinstance(bias, np.ndarray)):
        raise NotUnderstoodError("multiplies by something that depends on the image")


def _plane(weight: Array) -> Array:
    if weight.ndim < 2 or any(size != 1 for size in weight.shape[:-2]) or not weight.size:
        raise NotUnderstoodError(f"has a weight of shape {weight.shape}")
    return weight.reshape(weight.shape[-2:])


def _linear(algebra: Algebra, x: Value, weight: Array, bias: Array | None) -> Value:
    """Return a linear layer over the last axis. weight: (in, out)."""
    if x.shape[-1:] != weight.shape[:1]:
        raise NotUnderstoodError(f"has a weight of shape {weight.shape} for {x.shape[-1:]} channels")
    made = (Atom("c", weight.shape[1]),)
    if x.labels[-1] == "c":
        kernel = Kernel(weight.T[:, :, None, None], bias)
        return Value(algebra.convolve(x.term, kernel), (*x.axes[:-1], made))
    return _patches(algebra, x, weight, bias)


def _patches(algebra: Algebra, x: Value, weight: Array, bias: Array | None) -> Value:
    """Return a linear layer over rows of patches, which is a convolution whose stride is its kernel."""
    atoms = {atom.label[0]: atom.size for atom in x.axes[-1]}
    labels = tuple(atom.label if atom.label == "c" else f"{atom.label[0]}1" for atom in x.axes[-1])
    if sorted(labels) != sorted(PATCH) or len(x.axes) != 4:
        raise LayoutError(f"of axes {x.labels}, and not of channels behind the others")
    order = [3, *(labels.index(label) for label in ("c", "h1", "w1"))]
    sizes = tuple(atom.size for atom in x.axes[-1])
    kernel = weight.T.reshape(len(weight.T), *sizes).transpose(0, *(place + 1 for place in order[1:]))
    edges = (atoms["h"], atoms["w"])
    axes = [x.axes[0]]
    for axis, label in zip(x.axes[1:3], "hw", strict=True):
        if axis and [atom.label for atom in axis] != [f"{label}0"]:
            raise LayoutError(f"of axes {x.labels}, and not of patches")
        axes.append((Atom(label, axis[0].size if axis else 1),))
    term = x.term
    if term.op == "crop" and all(left < edge for left, edge in zip(term.value, edges, strict=True)):
        term = term.args[0]  # the stride leaves it out anyway
    made = algebra.convolve(term, Kernel(kernel, bias, edges))
    return Value(made, (*axes, (Atom("c", weight.shape[1]),)))
