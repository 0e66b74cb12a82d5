"""Noise: of the sensor, of few photons, and of broken pixels. Pictures are (H, W, 3) in 0..1."""

from __future__ import annotations

import numpy as np

from convnext_edge.images.corruptions.filters import Floats

Random = np.random.Generator


def gaussian_noise(x: Floats, deviation: float, random: Random) -> Floats:
    """Add noise of a deviation."""
    return x + random.normal(scale=deviation, size=x.shape)


def shot_noise(x: Floats, photons: float, random: Random) -> Floats:
    """Count `photons` of white, as a sensor does."""
    return random.poisson(x * photons) / photons


def impulse_noise(x: Floats, share: float, random: Random) -> Floats:
    """Set a share of the values to 0 or 1, each as often."""
    hit, white = random.random(x.shape) < share, random.random(x.shape) < 0.5
    return np.where(hit, white.astype(x.dtype), x)
