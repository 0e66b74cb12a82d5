"""Random values in the shape of images: to trace a model, to time it, or to compare two implementations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convnext_edge.images.preprocessing import InputType


def noise(
    size: tuple[int, int, int], input_type: InputType, *, batch: int, seed: int = 0
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return noise (N, channels, H, W) in the shape and type of images; it must never calibrate a model.

    size: channels, height and width. Speed does not depend on the values. The float32 values have about the
    range of normalized pixels.
    """
    shape = (batch, *size)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return pixels if input_type == "uint8" else ((pixels - 127.5) / 64).astype(np.float32)
