"""Functions that exporters write in several operators, found among the factors of a product.

GELU        x * (1 + erf(x / sqrt(2))) / 2, and with tanh in place of erf
SiLU        x * sigmoid(x); hard-swish with the hard sigmoid, or with clip(x + 3, 0, 6) / 6
LayerNorm   (x - mean) / sqrt(mean of squares + eps), and the others of `network.norms`
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from convnext_edge.checkpoints.onnx_weights.terms import (
    HALF,
    NEUTRAL,
    ONE,
    Algebra,
    Constant,
    Factors,
    Term,
    coefficient,
)

CLOSE = 2e-3  # relative: constants of FP16 files have 11 bits
CUBIC = 0.044715  # of GELU with tanh
CHANNELS = frozenset("c")


def near(found: Constant | float, wanted: float) -> bool:
    """Return whether a number is the wanted one, be it rounded to FP16."""
    return np.ndim(found) == 0 and math.isclose(float(found), wanted, rel_tol=CLOSE)


def without(factors: Factors, *taken: Term) -> Factors:
    """Return the factors but for those that are taken."""
    return {term: exponent for term, exponent in factors.items() if term not in taken}


def activation(algebra: Algebra, factors: Factors) -> tuple[Constant, Factors] | None:
    """Find GELU, SiLU or hard-swish."""
    for gate, exponent in factors.items():
        for name, x, number in _gates(algebra, gate) if exponent == ONE else ():
            if factors.get(x) == ONE:
                return np.array(number), without(factors, gate, x) | {algebra.call(name, x): ONE}
    return None


def _gates(algebra: Algebra, gate: Term) -> Iterator[tuple[str, Term, float]]:
    """Yield what a factor may be the gate of: an activation of which x, and what x * gate is times that."""
    match gate:
        case Term("sigmoid", (x,)):
            yield "silu", x, 1
        case Term("hardsigmoid", (x,), (alpha, beta)) if near(alpha, 1 / 6) and near(beta, 0.5):
            yield "hardswish", x, 1
        case Term("clip", (Term("shift", (x,), by),), (0, 6)) if near(by, 3):
            yield "hardswish", x, 6
        case Term("shift", (Term("erf", (inner,)),), by) if near(by, 1):
            number, factors = coefficient(inner)
            if near(number, math.sqrt(0.5)):
                yield "gelu", algebra.product(NEUTRAL, factors), 2
        case Term("shift", (Term("tanh", (inner,)),), by) if near(by, 1):
            number, factors = coefficient(inner)
            if near(number, math.sqrt(2 / math.pi)):
                yield from ((("gelu_tanh", x, 2.0)) for x in _cubic(algebra.product(NEUTRAL, factors)))


def _cubic(inner: Term) -> Iterator[Term]:
    """Yield x of x + 0.044715 * x ** 3."""
    for x, other in _orders(inner) if inner.op == "add" else ():
        number, factors = coefficient(other)
        if factors == {x: 3} and near(number, CUBIC):
            yield x


def norm(algebra: Algebra, factors: Factors) -> tuple[Constant, Factors] | None:
    """Find a normalization over the channels, without weight and bias."""
    for divisor, exponent in factors.items():
        if exponent != -HALF:
            continue
        eps, mean = (float(divisor.value), divisor.args[0]) if divisor.op == "shift" else (0.0, divisor)
        if mean.op != "mean" or mean.value[0] != CHANNELS or np.ndim(eps):
            continue
        number, squared = coefficient(mean.args[0])
        if list(squared.values()) != [2] or not near(number, 1):
            continue
        deviation, channels = next(iter(squared)), mean.value[1]
        centred = _centred(algebra, deviation)
        if factors.get(deviation) == ONE:
            x, kind = (deviation, "rmsnorm") if centred is None else (centred, "layernorm")
            made = algebra.norm(x, kind, eps)
            return NEUTRAL, without(factors, divisor, deviation) | {made: ONE}
        if centred is not None and factors.get(centred) == ONE and channels > 1:
            unbiased = channels / (channels - 1)  # its variance divides by C - 1
            made = algebra.norm(centred, "simplenorm", eps * unbiased)
            return np.array(math.sqrt(unbiased)), without(factors, divisor, centred) | {made: ONE}
    return None


def _centred(algebra: Algebra, deviation: Term) -> Term | None:
    """Return x of x - mean(x) over the channels."""
    for x, other in _orders(deviation) if deviation.op == "add" else ():
        (number, factors), (negative, rest) = coefficient(x), coefficient(other)
        mean = next(iter(rest), None)
        if mean is None or rest != {mean: ONE} or mean.op != "mean" or mean.value[0] != CHANNELS:
            continue
        if mean.args[0] is algebra.product(NEUTRAL, factors) and near(number, -float(negative)):
            return x
    return None


def _orders(pair: Term) -> tuple[tuple[Term, Term], tuple[Term, Term]]:
    first, second = pair.args
    return (first, second), (second, first)


RULES = (activation, norm)
