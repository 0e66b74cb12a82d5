"""Operators of ONNX that compute something of the image, as terms.

https://onnx.ai/onnx/operators/ says what each does. What is missing here is in no ConvNeXt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import NodeProto

from convnext_edge.checkpoints.onnx_weights.multiplications import convolve, gemm, matmul
from convnext_edge.checkpoints.onnx_weights.nodes import NotUnderstoodError, number, stated
from convnext_edge.checkpoints.onnx_weights.terms import HALF, NEUTRAL, Algebra, Constant, Term
from convnext_edge.checkpoints.onnx_weights.values import LayoutError, Value, along_channels, broadcast
from convnext_edge.onnx_graph.lookup import read_attribute

Inputs = Sequence[Any]
Operator = Callable[[Algebra, NodeProto, Inputs], Value]
EXPONENT_STEPS = 6  # an exponent is a whole number of sixths


def _add(algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
    return _combine(inputs, algebra.add, algebra.shift)


def _multiply(algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
    return _combine(inputs, algebra.multiply, algebra.scale)


def _combine(
    inputs: Inputs, terms: Callable[[Term, Term], Term], constant: Callable[[Term, Constant], Term]
) -> Value:
    """Return the element by element result for two values, or for a value and a constant in either order."""
    a, b = inputs
    if isinstance(a, Value) and isinstance(b, Value):
        return Value(terms(a.term, b.term), broadcast(a, b))
    x, given = (a, b) if isinstance(a, Value) else (b, a)
    by, axes = along_channels(x, given)
    return Value(constant(x.term, by), axes)


def _subtract(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    a, b = inputs
    return _add(algebra, node, (a, _negate(algebra, node, (b,)) if isinstance(b, Value) else -b))


def _divide(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    a, b = inputs
    if isinstance(b, Value):
        return _multiply(algebra, node, (a, Value(algebra.power(b.term, Fraction(-1)), b.axes)))
    with np.errstate(all="ignore"):
        return _multiply(algebra, node, (a, 1 / b.astype(np.float64)))


def _negate(algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
    (x,) = inputs
    return Value(algebra.scale(x.term, -NEUTRAL), x.axes)


def _power(algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
    x, exponent = inputs
    if not isinstance(x, Value) or not isinstance(exponent, np.ndarray) or exponent.size != 1:
        raise NotUnderstoodError("has an exponent that is no constant")
    sixths = float(exponent.reshape(())) * EXPONENT_STEPS
    if not np.isfinite(sixths) or round(sixths) != sixths or abs(sixths) > 100:
        raise NotUnderstoodError(f"has the exponent {sixths / EXPONENT_STEPS:g}")
    raised = Fraction(round(sixths), EXPONENT_STEPS)
    term = x.term.args[0] if x.term.op == "abs" and raised.numerator % 2 == 0 else x.term
    return Value(algebra.power(term, raised), x.axes)


def _raise(exponent: Fraction) -> Operator:
    def operator(algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
        (x,) = inputs
        return Value(algebra.power(x.term, exponent), x.axes)

    return operator


def _function(name: str) -> Operator:
    def operator(algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
        x = inputs[0]
        return Value(algebra.call(name, x.term), x.axes)

    return operator


def _gelu(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    tanh = read_attribute(node, "approximate", b"none") == b"tanh"
    return _function("gelu_tanh" if tanh else "gelu")(algebra, node, inputs)


def _hard_sigmoid(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    (x,) = inputs
    slope = (read_attribute(node, "alpha", 0.2), read_attribute(node, "beta", 0.5))
    return Value(algebra.call("hardsigmoid", x.term, slope), x.axes)


def _clip(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    bounds = (number(node, inputs, "min", 1, -np.inf), number(node, inputs, "max", 2, np.inf))
    x: Value = inputs[0]
    if bounds == (0.0, np.inf):
        return Value(algebra.call("relu", x.term), x.axes)
    return Value(algebra.call("clip", x.term, bounds), x.axes)


def _swish(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    if read_attribute(node, "alpha", 1.0) != 1:
        raise NotUnderstoodError("has an alpha, which no ConvNeXt has")
    return _function("silu")(algebra, node, inputs)


# --- reductions and norms --------------------------------------------------------------------------


def _reduced(algebra: Algebra, x: Value, name: str, axes: Sequence[int], *, keep: bool, of: Term) -> Value:
    indices = {axis % len(x.axes) for axis in axes}
    atoms = [atom for index in indices for atom in x.axes[index]]
    labels = frozenset(atom.label for atom in atoms)
    if not labels or not labels <= {"c", "h", "w"}:
        raise LayoutError(f"of axes {x.labels}, of which it reduces {sorted(indices)}")
    elements = int(np.prod([atom.size for atom in atoms]))
    kept = [() if i in indices else axis for i, axis in enumerate(x.axes) if keep or i not in indices]
    return Value(algebra.reduce(name, of, labels, elements), tuple(kept))


def _reduce(name: str, *, squares: bool = False, root: bool = False) -> Operator:
    def operator(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
        x: Value = inputs[0]
        axes = stated(node, inputs, "axes", 1)
        keep = bool(read_attribute(node, "keepdims", 1))
        axes = list(range(len(x.axes))) if axes is None else axes
        of = algebra.power(x.term, Fraction(2)) if squares else x.term
        made = _reduced(algebra, x, name, axes, keep=keep, of=of)
        return Value(algebra.power(made.term, HALF), made.axes) if root else made

    return operator


def _pool_globally(name: str) -> Operator:
    def operator(algebra: Algebra, _node: NodeProto, inputs: Inputs) -> Value:
        x: Value = inputs[0]
        return _reduced(algebra, x, name, range(2, len(x.axes)), keep=True, of=x.term)

    return operator


def _pool(name: str) -> Operator:
    def operator(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
        x: Value = inputs[0]
        kernel = list(read_attribute(node, "kernel_shape", []))
        if kernel != list(x.shape[2:]) or any(read_attribute(node, "pads", [])):
            raise NotUnderstoodError(f"pools over {kernel} of a map of {list(x.shape[2:])}")
        return _reduced(algebra, x, name, range(2, len(x.axes)), keep=True, of=x.term)

    return operator


def _norm(kind: str) -> Operator:
    def operator(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
        x: Value = inputs[0]
        axis = read_attribute(node, "axis", -1)
        if x.labels[-1:] != ("c",) or axis % len(x.axes) != len(x.axes) - 1:
            raise LayoutError(f"of axes {x.labels} and normalizes from axis {axis} on")
        term = algebra.norm(x.term, kind, read_attribute(node, "epsilon", 1e-5))
        for make, constant in zip((algebra.scale, algebra.shift), inputs[1:], strict=False):
            if constant is not None:
                term = make(term, _vector(x, constant))
        return Value(term, x.axes)

    return operator


def _vector(x: Value, constant: Any) -> Constant:
    if not isinstance(constant, np.ndarray) or constant.size != x.size("c"):
        raise NotUnderstoodError("has a weight or bias that is not one number for each channel")
    return constant.astype(np.float64).reshape(-1)


def _concat(algebra: Algebra, node: NodeProto, inputs: Inputs) -> Value:
    values: list[Value] = list(inputs)
    if not all(isinstance(value, Value) for value in values):
        raise NotUnderstoodError("joins the image with a constant")
    first = values[0]
    index = read_attribute(node, "axis", 0) % len(first.axes)
    if first.labels[index] != "c" or any(value.labels != first.labels for value in values):
        raise LayoutError(f"of axes {first.labels} and joins along axis {index}")
    joined = sum(value.shape[index] for value in values)
    axis = (first.axes[index][0]._replace(size=joined),)
    term = algebra.concat(tuple(value.term for value in values))
    return Value(term, (*first.axes[:index], axis, *first.axes[index + 1 :]))


OPERATORS: dict[str, Operator] = {
    "Conv": convolve,
    "MatMul": matmul,
    "Gemm": gemm,
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Neg": _negate,
    "Pow": _power,
    "Sqrt": _raise(HALF),
    "Reciprocal": _raise(Fraction(-1)),
    "Abs": _function("abs"),
    "Erf": _function("erf"),
    "Tanh": _function("tanh"),
    "Sigmoid": _function("sigmoid"),
    "Relu": _function("relu"),
    "HardSwish": _function("hardswish"),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Swish": _swish,
    "Clip": _clip,
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "ReduceMax": _reduce("max"),
    "ReduceSumSquare": _reduce("sum", squares=True),
    "ReduceL2": _reduce("sum", squares=True, root=True),
    "GlobalAveragePool": _pool_globally("mean"),
    "GlobalMaxPool": _pool_globally("max"),
    "AveragePool": _pool("mean"),
    "MaxPool": _pool("max"),
    "LayerNormalization": _norm("layernorm"),
    "RMSNormalization": _norm("rmsnorm"),
    "Concat": _concat,
}
