"""The parts of a ConvNeXt in terms: layers with what follows them, norms, activations, GRN, pooling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from convnext_edge.architecture import Activation, NormKind, Pooling
from convnext_edge.checkpoints.onnx_weights.rules import near
from convnext_edge.checkpoints.onnx_weights.terms import (
    HALF,
    ONE,
    SPATIAL,
    Constant,
    Kernel,
    Term,
    coefficient,
)
from convnext_edge.network.norms import GRN_EPS

Array = NDArray[Any]  # weights in float32, constants of channels in float64
ACTIVATIONS = get_args(Activation)
CHANNELS = frozenset("c")


class DifferentError(Exception):
    """Says what stands where a part of a ConvNeXt was expected."""

    def __init__(self, term: Term, expected: str) -> None:
        super().__init__(f"{term.origin} stands where {expected} was expected")


def differs(term: Term, expected: str) -> NoReturn:
    """Raise DifferentError."""
    raise DifferentError(term, expected)


@dataclass(frozen=True, eq=False)
class LayerPart:
    """A convolution or a linear layer, with the constants behind it."""

    x: Term
    kernel: Kernel
    weight: Array  # (out, in / groups, rows, columns)
    bias: Array | None  # (out,)
    scale: Array | None  # (out,), by which all of it is multiplied


@dataclass(frozen=True, eq=False)
class NormPart:
    """A normalization over the channels."""

    x: Term
    kind: NormKind
    eps: float
    weight: Array | None
    bias: Array | None


@dataclass(frozen=True, eq=False)
class ResponsePart:
    """Global response normalization: x * (scale + weight * relative) + bias."""

    x: Term
    weight: Array
    bias: Array | None
    scale: Array | None  # None for 1


@dataclass(frozen=True, eq=False)
class Affine:
    """What is multiplied to a term, and then added to it."""

    x: Term
    scale: Constant | None
    shift: Constant | None


def peeled(term: Term) -> Affine:
    """Take constants off a term, as x * scale + shift."""
    shift: Constant | None = None
    if term.op == "shift":
        shift, term = term.value, term.args[0]
    if term.op == "product" and len(term.args) == 1 and term.value[1] == (ONE,):
        return Affine(term.args[0], term.value[0], shift)
    return Affine(term, None, shift)


def layer(term: Term, expected: str) -> LayerPart:
    """Return the layer that a term is; raise DifferentError where it is none.

    The first constant that is added is the bias; of what else follows, weight and bias take what is added.
    """
    outer = peeled(term)
    inner = peeled(outer.x) if outer.x.op == "shift" else Affine(outer.x, None, None)
    if inner.x.op != "conv" or inner.scale is not None:
        differs(term, expected)
    kernel: Kernel = inner.x.value
    out = len(kernel.weight)
    weight = kernel.weight.astype(np.float32, copy=False)
    bias = None if kernel.bias is None else kernel.bias.astype(np.float64).reshape(-1)
    if bias is not None and bias.shape != (out,):
        differs(term, f"a layer with a bias of {out} values")
    scale = None if outer.scale is None else _vector(outer.scale, out, term)
    if inner.shift is not None:
        bias = _vector(inner.shift, out, term) + (0 if bias is None else bias)
    if outer.shift is not None:  # behind the scale, if there is one
        added = _vector(outer.shift, out, term)
        if scale is not None:
            weight, bias, scale = (
                weight * scale[:, None, None, None],
                None if bias is None else bias * scale,
                None,
            )
        bias = added + (0 if bias is None else bias)
    return LayerPart(inner.x.args[0], kernel, weight, bias, scale)


def unscaled(part: LayerPart) -> tuple[Array, Array | None]:
    """Return weight and bias of a layer, with what multiplies its outputs in them."""
    if part.scale is None:
        return part.weight, part.bias
    bias = None if part.bias is None else part.bias * part.scale
    return part.weight * part.scale[:, None, None, None], bias


def _vector(value: Constant, size: int, term: Term) -> Array:
    if value.ndim and value.shape != (size,):
        differs(term, f"a constant of {size} channels")
    return np.broadcast_to(value, (size,))


def linear(term: Term, expected: str) -> LayerPart:
    """Return the linear layer that a term is."""
    part = layer(term, expected)
    if part.weight.shape[2:] != (1, 1) or part.kernel.groups != 1 or part.kernel.stride != (1, 1):
        differs(term, expected)
    if any(part.kernel.pads):
        differs(term, expected)
    number, factors = coefficient(part.x)
    if number.ndim or list(factors.values()) != [ONE]:
        return part
    # optimizers leave a half of GELU's formula in the next layer's weights
    return replace(part, x=next(iter(factors)), weight=part.weight * number)


def norm(term: Term) -> NormPart | None:
    """Return the norm that a term is, if it is one."""
    outer = peeled(term)
    if outer.x.op != "norm":
        return None
    kind, eps = outer.x.value
    return NormPart(outer.x.args[0], kind, eps, outer.scale, outer.shift)


def activation(term: Term) -> tuple[Term, Activation] | None:
    """Return what an activation is of, and which it is; None where a term is none."""
    return (term.args[0], term.op) if term.op in ACTIVATIONS else None  # type: ignore[return-value]


def pool(term: Term) -> tuple[Term, Pooling] | None:
    """Return the map that a pooled vector is of, and how it was pooled; None where a term is none."""
    match term:
        case Term("mean", (x,), (axes, _)) if axes == SPATIAL:
            return x, "avg"
        case Term("max", (x,), (axes, _)) if axes == SPATIAL:
            return x, "max"
        case Term("concat", (Term("mean", (x,), (axes, _)), Term("max", (y,), (more, _)))):
            if x is y and axes == more == SPATIAL:
                return x, "catavgmax"
    number, factors = coefficient(term)
    halves: list[Any] = []
    if near(number, 0.5) and list(factors.values()) == [ONE]:
        half = next(iter(factors))
        halves = [(part, np.array(0.5)) for part in half.args] if half.op == "add" else []
    elif term.op == "add":
        halves = [(next(iter(f)), n) for n, f in map(coefficient, term.args) if list(f.values()) == [ONE]]
    if len(halves) == 2 and all(near(number, 0.5) for _, number in halves):
        found = {part.op: part for part, _ in halves}
        alike = {part.args[0] for part in found.values()}
        spatial = all(part.value[0] == SPATIAL for part in found.values() if part.op in ("mean", "max"))
        if set(found) == {"mean", "max"} and len(alike) == 1 and spatial:
            return alike.pop(), "avgmax"
    return None


def response(term: Term) -> ResponsePart | None:
    """Return the global response normalization that a term is; None where it is none."""
    return _added_response(term) or _factored_response(term)


def _added_response(term: Term) -> ResponsePart | None:
    """Return x + (weight * (x * relative) + bias), in any order."""
    bias: Constant | None = None
    if term.op == "shift":
        bias, term = term.value, term.args[0]
    if term.op != "add":
        return None
    for x, other in (term.args, term.args[::-1]):
        added = bias
        if other.op == "shift":
            added, other = other.value if bias is None else bias + other.value, other.args[0]
        number, factors = coefficient(other)
        if factors.get(x) == ONE and is_relative({t: e for t, e in factors.items() if t is not x}, x):
            return ResponsePart(x, number, added, None)
    return None


def _factored_response(term: Term) -> ResponsePart | None:
    """Return x * (scale + weight * relative), as our own forms write it; a bias may follow."""
    bias: Constant | None = None
    if term.op == "shift":
        bias, term = term.value, term.args[0]
    number, factors = coefficient(term)
    if len(factors) != 2 or set(factors.values()) != {ONE}:
        return None
    for x, gate in (tuple(factors), tuple(factors)[::-1]):
        if gate.op != "shift":
            continue
        weight, relative = coefficient(gate.args[0])
        if is_relative(relative, x):
            return ResponsePart(x, number * weight, bias, number * gate.value)
    return None


def is_relative(factors: dict[Term, Any], x: Term) -> bool:
    """Return whether factors are the norm of x over the map, divided by its mean over the channels."""
    if sorted(factors.values()) != [-1, HALF]:
        return False
    norms, divisor = sorted(factors, key=lambda factor: factors[factor], reverse=True)
    if norms.op != "sum" or norms.value[0] != SPATIAL or coefficient(norms.args[0])[1] != {x: 2}:
        return False
    if divisor.op != "shift" or not (near(divisor.value, GRN_EPS) or _half_eps(divisor.value)):
        return False
    mean = divisor.args[0]
    return mean.op == "mean" and mean.value[0] == CHANNELS and coefficient(mean.args[0])[1] == {norms: HALF}


def _half_eps(eps: Constant) -> bool:
    """Return whether a number is GRN's epsilon in FP16, which has few bits so close to 0."""
    return eps.ndim == 0 and float(eps) == float(np.float16(GRN_EPS))
