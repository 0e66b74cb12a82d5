"""What an ONNX graph computes, as terms: an algebra in which equal functions are spelled alike.

A term has the logical axes N, C, H and W of a feature map, whatever the layout of the ONNX value is.
Products are one set of factors with exponents, so that x / sqrt(y), x * rsqrt(y) and x * y ** -0.5 are the
same; numbers are drawn out of products and sums. Terms that are made twice are one object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

Constant = NDArray[np.float64]  # a number, or one for each channel
Factors = dict["Term", Fraction]  # of a product, with their exponents

ONE, HALF = Fraction(1), Fraction(1, 2)
NEUTRAL = np.array(1.0)  # what multiplies a term where nothing does
SPATIAL = frozenset("hw")


@dataclass(frozen=True, eq=False)
class Term:
    """A value that depends on the image.

    `op` is `image`, `conv`, `product`, `shift` (a constant is added), `add`, `mean`, `sum` or `max` over
    axes, `norm`, `concat`, `pad`, `crop`, or the name of a function.
    """

    op: str
    args: tuple[Term, ...]
    value: Any  # what else it is made with: a constant, exponents, axes, weights
    reduced: frozenset[str]  # axes among c, h and w that have one element
    origin: str  # the ONNX node that made it, for messages


# Gives a number and factors that are equal to given factors, or None.
Rule = Callable[["Algebra", Factors], "tuple[Constant, Factors] | None"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """The weight of a convolution and how it goes over the map; linear layers have kernels of 1 x 1."""

    weight: NDArray[Any]  # (out, in / groups, rows, columns)
    bias: NDArray[Any] | None  # (out,)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right, as in ONNX
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


class Algebra:
    """The maker of terms, which knows those that it made.

    rules: each finds a known function among the factors of a product.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = rules
        self.origin = "the graph"  # the ONNX node that terms are made for
        self._made: dict[Any, Term] = {}
        self._unique = count()

    def image(self) -> Term:
        """Return the graph's input."""
        return self._term("image", ())

    def convolve(self, x: Term, kernel: Kernel) -> Term:
        """Return a convolution; zeros that were padded before it become its own."""
        if x.op == "pad":
            top, left, bottom, right = (a + b for a, b in zip(x.value, kernel.pads, strict=True))
            kernel, x = replace(kernel, pads=(top, left, bottom, right)), x.args[0]
        return self._term("conv", (x,), kernel, key=next(self._unique))

    def call(self, name: str, x: Term, value: Any = None) -> Term:
        """Return a function of each element."""
        return self._term(name, (x,), value)

    def norm(self, x: Term, kind: str, eps: float) -> Term:
        """Return a normalization over the channels, without weight and bias."""
        return self._term("norm", (x,), (kind, eps), reduced=x.reduced - {"c"})

    def reduce(self, name: str, x: Term, axes: frozenset[str], elements: int) -> Term:
        """Return the mean, maximum or sum over axes with so many elements.

        Numbers are drawn out of means and sums; sums over channels are means.
        """
        if x.op == name and axes | x.value[0] <= SPATIAL:  # first over rows, then over columns
            return self.reduce(name, x.args[0], axes | x.value[0], elements * x.value[1])
        number, factors = coefficient(x)
        if name != "max" and not number.ndim and number != 1:
            return self.scale(self.reduce(name, self.product(NEUTRAL, factors), axes, elements), number)
        if name == "sum" and axes == {"c"}:
            return self.scale(self.reduce("mean", x, axes, elements), np.array(float(elements)))
        return self._term(name, (x,), (axes, elements), reduced=x.reduced | axes)

    def concat(self, parts: tuple[Term, ...]) -> Term:
        """Return channels behind channels."""
        return self._term("concat", parts, reduced=frozenset.intersection(*(part.reduced for part in parts)))

    def scale(self, x: Term, by: Constant) -> Term:
        """Return x * constant."""
        number, factors = coefficient(x)
        return self.product(number * by, factors)

    def shift(self, x: Term, by: Constant) -> Term:
        """Return x + constant; a number that multiplies x comes to stand outside."""
        if not by.ndim and by == 0:
            return x
        if x.op == "shift" and (x.value.ndim == 0) == (by.ndim == 0):
            return self.shift(x.args[0], x.value + by)
        number, factors = coefficient(x)
        if not number.ndim and not by.ndim and number not in (0, 1):
            return self.scale(self.shift(self.product(NEUTRAL, factors), by / number), number)
        reduced = x.reduced - {"c"} if by.ndim else x.reduced
        return self._term("shift", (x,), by, key=by.tobytes(), reduced=reduced)

    def add(self, a: Term, b: Term) -> Term:
        """Return a + b."""
        first, second = sorted((a, b), key=id)
        return self._term("add", (first, second), reduced=a.reduced & b.reduced)

    def multiply(self, a: Term, b: Term) -> Term:
        """Return a * b."""
        (number, factors), (other, more) = coefficient(a), coefficient(b)
        joined = dict(factors)
        for factor, exponent in more.items():
            joined[factor] = joined.get(factor, Fraction(0)) + exponent
        return self.product(number * other, joined)

    def power(self, x: Term, exponent: Fraction) -> Term:
        """Return x ** exponent."""
        number, factors = coefficient(x)
        if exponent.denominator > 1:
            signed = any(power % 2 == 0 for power in factors.values()) or bool((number < 0).any())
            if signed:  # sqrt(x * x) is not x
                return self.call("power", x, exponent)
        raised = {factor: power * exponent for factor, power in factors.items()}
        with np.errstate(all="ignore"):
            return self.product(number ** float(exponent), raised)

    def product(self, number: Constant, factors: Factors) -> Term:
        """Return number * the product of factors with their exponents; known functions get their name."""
        kept = {term: exponent for term, exponent in factors.items() if exponent}
        for rule in self.rules:
            if found := rule(self, kept):
                number, kept = number * found[0], found[1]
        if len(kept) == 1 and not number.ndim and number == 1:
            term, exponent = next(iter(kept.items()))
            if exponent == 1:
                return term
        ordered = tuple(sorted(kept, key=id))
        exponents = tuple(kept[term] for term in ordered)
        reduced = frozenset.intersection(*(term.reduced for term in ordered)) if ordered else frozenset("chw")
        key = (number.tobytes(), number.shape, exponents)
        reduced = reduced - {"c"} if number.ndim else reduced
        return self._term("product", ordered, (number, exponents), key=key, reduced=reduced)

    def _term(
        self,
        op: str,
        args: tuple[Term, ...],
        value: Any = None,
        *,
        key: Any = None,
        reduced: Iterable[str] | None = None,
    ) -> Term:
        identity = (op, args, value if key is None else key)
        found = self._made.get(identity)
        if found is None:
            known = args[0].reduced if reduced is None and args else frozenset(reduced or ())
            found = self._made[identity] = Term(op, args, value, known, self.origin)
        return found


def coefficient(x: Term) -> tuple[Constant, Factors]:
    """Return the constant that multiplies a term, and what it multiplies."""
    if x.op != "product":
        return NEUTRAL, {x: ONE}
    number, exponents = x.value
    return number, dict(zip(x.args, exponents, strict=True))
