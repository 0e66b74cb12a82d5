"""Blur: out of focus, behind frosted glass, of a camera that moves or zooms.

Pictures are (H, W, 3) in 0..1.
"""

from __future__ import annotations

import math

import numpy as np

from convnext_edge.images.corruptions.filters import Floats, gaussian, moved, weighted, zoomed

Random = np.random.Generator
SMALL = 8  # radius of the square that a disk lies in, where it is not larger itself


def defocus_blur(x: Floats, severity: tuple[float, float], random: Random) -> Floats:
    """Average over a disk, its edge smoothed."""
    radius, sigma = severity
    reach = max(SMALL, math.ceil(radius))
    steps = np.arange(-reach, reach + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(float)
    around = 1 if radius <= SMALL else 2  # pixels that the smoothing reaches
    # Where the disk touches the edge of its square, it gains weight, and the picture light: theirs, too.
    disk = gaussian(disk / disk.sum(), sigma, edges="reflect", truncate=around / sigma)
    places = np.argwhere(disk > 0)
    moves = [(int(row) - reach, int(column) - reach) for row, column in places]
    return weighted(x, moves, disk[tuple(places.T)], "reflect")


def glass_blur(x: Floats, severity: tuple[float, int, int], random: Random) -> Floats:
    """Smooth, let pixels take the value of a neighbour, and smooth again.

    The authors mean to exchange two pixels. What their code does, and their images show, is to copy one.
    """
    sigma, shift, repetitions = severity
    rows, columns = x.shape[:2]
    smooth = np.floor(gaussian(x, sigma) * 255) / 255
    source = list(range(rows * columns))
    down, across = range(rows - shift, shift, -1), range(columns - shift, shift, -1)
    for _ in range(repetitions):
        steps = random.integers(-shift, shift, size=(2, len(down), len(across)))
        moves = iter((steps[0] * columns + steps[1]).ravel().tolist())
        for row in down:
            for here in range(row * columns + across[0], row * columns + across[-1] - 1, -1):
                source[here] = source[here + next(moves)]
    return gaussian(smooth.reshape(-1, x.shape[2])[source].reshape(x.shape), sigma)


def motion_blur(x: Floats, severity: tuple[float, float], random: Random) -> Floats:
    """Blur along a line within 45 degrees of the horizontal."""
    return moved(x, random.uniform(-45, 45), *severity)


def zoom_blur(x: Floats, severity: tuple[float, float], random: Random) -> Floats:
    """Average pictures that are magnified more and more, and the picture itself once more."""
    factors = np.arange(1, *severity)
    total = sum((zoomed(x, float(factor)) for factor in factors), start=x)
    return total / (len(factors) + 1)
