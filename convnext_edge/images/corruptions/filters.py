"""What several corruptions are made of: smoothing, zooming, sampling between pixels, and plasma.

Pictures are (H, W, 3) float64 in 0..1, planes (H, W).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Edges = Literal["edge", "symmetric", "reflect"]  # how pixels go on outside, as `numpy.pad` says it


def gaussian(x: Floats, sigma: float, *, edges: Edges = "edge", truncate: float = 4.0) -> Floats:
    """Smooth (H, W) or (H, W, 3) with a Gaussian, cut off at `truncate` deviations, as scikit-image does."""
    if not sigma:
        return x
    down, across = (_smoothing(size, sigma, edges, truncate) for size in x.shape[:2])
    return _both_ways(down, x, across)


def zoomed(x: Floats, factor: float) -> Floats:
    """Magnify the middle of (H, W) or (H, W, 3) to the same size, linearly between the pixels."""
    down, across = (_zooming(size, factor) for size in x.shape[:2])
    return _both_ways(down, x, across)


def moved(x: Floats, angle: float, radius: float, sigma: float) -> Floats:
    """Blur (H, W) or (H, W, 3) along a line, one way, as ImageMagick's motion blur. angle: in degrees."""
    width = 2 * math.ceil(radius) + 1
    weights = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2))
    down, across = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    moves = [(math.ceil(i * down - 0.5), math.ceil(i * across - 0.5)) for i in range(width)]
    return weighted(x, moves, weights / weights.sum(), "edge")


def weighted(x: Floats, moves: list[tuple[int, int]], weights: Floats, edges: Edges) -> Floats:
    """Return the weighted sum of (H, W, ...) moved by rows and columns: y, x is from y + row, x + column."""
    rows, columns = x.shape[:2]
    pad = max(max(abs(row), abs(column)) for row, column in moves)
    padded = np.pad(x, [(pad, pad), (pad, pad)] + [(0, 0)] * (x.ndim - 2), mode=edges)
    total = np.zeros_like(x)
    for (row, column), weight in zip(moves, weights, strict=True):
        total += weight * padded[pad + row :, pad + column :][:rows, :columns]
    return total


def sampled(x: Floats, rows: Floats, columns: Floats, edges: Edges) -> Floats:
    """Return (H, W, 3) at places (H, W) between the pixels, linearly."""
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    below, right = (rows - top)[..., None], (columns - left)[..., None]
    lines = [_folded(top + step, x.shape[0], edges) for step in (0, 1)]
    places = [_folded(left + step, x.shape[1], edges) for step in (0, 1)]
    upper, lower = ((1 - right) * x[line, places[0]] + right * x[line, places[1]] for line in lines)
    mixed: Floats = (1 - below) * upper + below * lower
    return mixed


def plasma(edge: int, decay: float, random: np.random.Generator) -> Floats:
    """Return a plane (edge, edge) of clouds in 0..1, by midpoint displacement (diamond-square).

    decay: the amplitude of a step is by its square less than that of the step before, as the authors have it.
    """
    plane, amplitude = np.zeros((1, 1)), 1.0
    while len(plane) < edge:
        plane = _refined(plane, amplitude, random)
        amplitude /= decay**2
    scaled: Floats = (plane - plane.min()) / max(np.ptp(plane), np.finfo(float).tiny)
    return scaled[:edge, :edge]


def _refined(corners: Floats, amplitude: float, random: np.random.Generator) -> Floats:
    """Return a plane twice as fine, which goes on at its other side."""
    size = corners.shape
    fine = np.empty((2 * size[0], 2 * size[1]))
    two = corners + np.roll(corners, -1, axis=0)
    middles = (two + np.roll(two, -1, axis=1)) / 4 + amplitude * random.uniform(-1, 1, size)
    above = middles + np.roll(middles, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
    beside = middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
    fine[::2, ::2], fine[1::2, 1::2] = corners, middles
    fine[::2, 1::2] = above / 4 + amplitude * random.uniform(-1, 1, size)
    fine[1::2, ::2] = beside / 4 + amplitude * random.uniform(-1, 1, size)
    return fine


def _both_ways(down: Floats, x: Floats, across: Floats) -> Floats:
    """Apply a matrix (H, H) to the columns of (H, W, ...), and one of (W, W) to its rows."""
    planes = np.moveaxis(x, (0, 1), (-2, -1))  # (..., H, W), which matrices are multiplied with
    return np.moveaxis(down @ planes @ across.T, (-2, -1), (0, 1))


@lru_cache(maxsize=64)
def _smoothing(size: int, sigma: float, edges: Edges, truncate: float) -> Floats:
    """Return the matrix (size, size) of a Gaussian filter."""
    radius = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    sources = np.pad(np.arange(size), radius, mode=edges)
    matrix = np.zeros((size, size))
    for tap, weight in enumerate(weights / weights.sum()):
        np.add.at(matrix, (np.arange(size), sources[tap : tap + size]), weight)
    return matrix


@lru_cache(maxsize=256)
def _zooming(size: int, factor: float) -> Floats:
    """Return the matrix (size, size) that magnifies the middle; its ends fall on ends of what is cut out."""
    kept = math.ceil(size / factor)
    large = round(kept * factor)
    places = np.arange(large) * (kept - 1) / max(large - 1, 1)
    first = np.minimum(places.astype(int), max(kept - 2, 0))
    matrix = np.zeros((large, size))
    start, lines = (size - kept) // 2, np.arange(large)
    matrix[lines, start + first] = 1 - (places - first)
    matrix[lines, start + np.minimum(first + 1, kept - 1)] += places - first
    trim = (large - size) // 2
    return matrix[trim : trim + size]


def _folded(places: NDArray[np.int64], size: int, edges: Edges) -> NDArray[np.int64]:
    """Return places outside 0..size - 1 turned back into it, with the last pixel twice if "symmetric"."""
    if edges == "edge" or size == 1:
        return np.clip(places, 0, size - 1)
    period = 2 * size if edges == "symmetric" else 2 * size - 2
    turned = np.mod(places, period)
    last = 2 * size - 1 if edges == "symmetric" else 2 * size - 2
    return np.where(turned < size, turned, last - turned)
