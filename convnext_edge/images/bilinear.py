"""Bilinear interpolation as PyTorch's `interpolate` has it, without aligned corners."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Kind = type[np.float32] | type[np.float64]


def neighbours(
    edge: int, wanted: int, kind: Kind = np.float64
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return the two of `edge` values that each of `wanted` lies between, and the share of the second.

    kind: what places are computed in; float32 gives them as PyTorch rounds them.
    """
    steps: NDArray[Any] = np.arange(wanted, dtype=kind)
    place = np.maximum((steps + 0.5) * kind(edge / wanted) - 0.5, 0)
    first = place.astype(np.int64)
    return first, np.minimum(first + 1, edge - 1), (place - first).astype(np.float32)
