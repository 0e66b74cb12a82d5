"""The powers of two signals and of their difference, of which SQNR and cosine are made."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**20  # values that are summed up at a time


class Powers(NamedTuple):
    """Sums over the values of an output of two models, in float64."""

    exact: float  # of the squares of the reference's
    other: float  # likewise of the candidate's
    noise: float  # of the squares of the differences
    product: float  # of the products

    @property
    def cosine(self) -> float:
        """The cosine of the two; 1 where both are zero."""
        if not self.exact and not self.other:
            return 1.0
        lengths = math.sqrt(self.exact) * math.sqrt(self.other)
        return self.product / lengths if lengths else 0.0


def powers_of(exact: NDArray[np.float32], other: NDArray[np.float32]) -> Powers:
    """Return the sums over two arrays (K,), a block of values at a time."""
    sums = np.zeros(4)
    for start in range(0, len(exact), BLOCK):
        one, two = (values[start : start + BLOCK].astype(np.float64) for values in (exact, other))
        difference = one - two
        sums += one @ one, two @ two, difference @ difference, one @ two
    return Powers(*sums.tolist())
