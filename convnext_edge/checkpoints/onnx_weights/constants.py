"""The values of an ONNX graph that depend on no image: computed, as exporters write transposes of weights.

Few operators are enough, and what anybody may have written is not to fill the memory: results are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from convnext_edge.checkpoints.onnx_weights.nodes import Array, NotUnderstoodError, number, stated, whole
from convnext_edge.onnx_graph.lookup import read_attribute

MOST = 2**28  # elements of a result; the largest weight of a published model has 2**24

Inputs = Sequence[Any]


def fold(node: NodeProto, inputs: Inputs) -> Array | None:
    """Return what a node computes of constants; None for an operator that no exporter folds.

    Raises NotUnderstoodError where it cannot be computed.
    """
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray(operator(node, inputs))
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError, KeyError) as error:
        raise NotUnderstoodError(f"cannot be computed: {error}") from error


def bounded(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape; raise NotUnderstoodError for one that is too large."""
    if prod(shape) > MOST:
        raise NotUnderstoodError(f"makes {prod(shape):,} values")
    return tuple(shape)


def _elementwise(function: Callable[..., Any]) -> Callable[[NodeProto, Inputs], Any]:
    def compute(_node: NodeProto, inputs: Inputs) -> Any:
        bounded(np.broadcast_shapes(*(value.shape for value in inputs)))
        return function(*inputs).astype(inputs[-1].dtype, copy=False)

    return compute


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.trunc(a / b)  # towards zero, as ONNX does
    return np.asarray(a / b)


def _cast(node: NodeProto, inputs: Inputs) -> Array:
    return np.asarray(inputs[0].astype(helper.tensor_dtype_to_np_dtype(read_attribute(node, "to", 1))))


def _constant(node: NodeProto, _inputs: Inputs) -> Array:
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        match attribute.name:
            case "value":
                return numpy_helper.to_array(value)
            case "value_float" | "value_floats":
                return np.asarray(value, dtype=np.float32)
            case "value_int" | "value_ints":
                return np.asarray(value, dtype=np.int64)
    raise NotUnderstoodError("holds no numbers")


def _constant_of_shape(node: NodeProto, inputs: Inputs) -> Array:
    value = read_attribute(node, "value", None)
    fill = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    return np.full(bounded(whole(inputs[0])), fill.ravel()[0])


def _expand(_node: NodeProto, inputs: Inputs) -> Array:
    shape = bounded(np.broadcast_shapes(inputs[0].shape, tuple(whole(inputs[1]))))
    return np.broadcast_to(inputs[0], shape)


def _reshape(_node: NodeProto, inputs: Inputs) -> Array:
    return np.reshape(inputs[0], full_shape(inputs[0].shape, whole(inputs[1])))


def full_shape(before: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Return the shape behind a Reshape: 0 keeps a size, -1 is what is left over."""
    shape = [before[index] if size == 0 else size for index, size in enumerate(wanted)]
    if shape.count(-1) > 1 or min(shape, default=1) < -1:
        raise NotUnderstoodError(f"has the shape {list(wanted)}")
    rest = prod(size for size in shape if size != -1)
    return [prod(before) // max(rest, 1) if size == -1 else size for size in shape]


def _unsqueeze(node: NodeProto, inputs: Inputs) -> Array:
    return np.expand_dims(inputs[0], tuple(stated(node, inputs, "axes", 1) or ()))


def _squeeze(node: NodeProto, inputs: Inputs) -> Array:
    axes = stated(node, inputs, "axes", 1)
    return np.asarray(np.squeeze(inputs[0], None if axes is None else tuple(axes)))


def _slice(node: NodeProto, inputs: Inputs) -> Array:
    kept = [slice(None)] * inputs[0].ndim
    for axis, cut in slices(node, inputs, inputs[0].ndim).items():
        kept[axis] = cut
    return np.asarray(inputs[0][tuple(kept)])


def slices(node: NodeProto, inputs: Inputs, rank: int) -> dict[int, slice]:
    """Return what a Slice keeps of each axis that it names."""
    starts, ends = stated(node, inputs, "starts", 1), stated(node, inputs, "ends", 2)
    if starts is None or ends is None:
        raise NotUnderstoodError("has no bounds")
    axes = stated(node, inputs, "axes", 3) or list(range(len(starts)))
    steps = stated(node, inputs, "steps", 4) or [1] * len(starts)
    return {
        axis % rank: slice(start, None if end >= 2**31 - 1 else end, step)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
    }


def _gather(node: NodeProto, inputs: Inputs) -> Array:
    return np.asarray(np.take(inputs[0], inputs[1].astype(np.int64), axis=read_attribute(node, "axis", 0)))


def _product(node: NodeProto, inputs: Inputs) -> Array:
    axes = stated(node, inputs, "axes", 1)
    kept = bool(read_attribute(node, "keepdims", 1))
    found = np.prod(inputs[0], axis=None if axes is None else tuple(axes), keepdims=kept)
    return np.asarray(found, dtype=inputs[0].dtype)


def _concat(node: NodeProto, inputs: Inputs) -> Array:
    return np.concatenate(inputs, axis=read_attribute(node, "axis", 0))


def _range(_node: NodeProto, inputs: Inputs) -> Array:
    start, limit, step = (value.reshape(()) for value in inputs)
    bounded([max(0, int((limit - start) / step))])
    return np.arange(start, limit, step, dtype=start.dtype)


def _transpose(node: NodeProto, inputs: Inputs) -> Array:
    return np.transpose(inputs[0], read_attribute(node, "perm", None))


def _where(_node: NodeProto, inputs: Inputs) -> Array:
    bounded(np.broadcast_shapes(*(value.shape for value in inputs)))
    return np.asarray(np.where(*inputs))


def _clip(node: NodeProto, inputs: Inputs) -> Array:
    bounds = (number(node, inputs, "min", 1, -np.inf), number(node, inputs, "max", 2, np.inf))
    return np.asarray(np.clip(inputs[0], *bounds).astype(inputs[0].dtype))


OPERATORS: dict[str, Callable[[NodeProto, Inputs], Any]] = {
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(_divide),
    "Pow": lambda node, inputs: np.power(*inputs).astype(inputs[0].dtype),
    "Sqrt": _elementwise(np.sqrt),
    "Neg": _elementwise(np.negative),
    "Reciprocal": _elementwise(np.reciprocal),
    "Floor": _elementwise(np.floor),
    "Ceil": _elementwise(np.ceil),
    "Clip": _clip,
    "Min": _elementwise(lambda *values: np.min(np.broadcast_arrays(*values), axis=0)),
    "Max": _elementwise(lambda *values: np.max(np.broadcast_arrays(*values), axis=0)),
    "Mod": _elementwise(np.mod),
    "Equal": lambda node, inputs: np.equal(*inputs),
    "Where": _where,
    "Identity": lambda node, inputs: inputs[0],
    "Cast": _cast,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Shape": lambda node, inputs: np.array(inputs[0].shape, np.int64),
    "Expand": _expand,
    "Reshape": _reshape,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Gather": _gather,
    "ReduceProd": _product,
    "Concat": _concat,
    "Range": _range,
    "Transpose": _transpose,
}
