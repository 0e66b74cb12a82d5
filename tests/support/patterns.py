"""Images that are made of whole numbers, so that every machine and every version makes the same ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Width and height: single pixels, odd edges, both orientations, the inputs' own sizes, and a photograph's.
SIZES = (
    *((1, 1), (2, 1), (1, 3), (3, 2), (5, 7), (13, 31), (31, 13), (33, 64), (64, 64), (97, 50)),
    *((101, 203), (224, 224), (225, 224), (256, 341), (301, 227), (375, 500), (501, 333), (640, 427)),
    *((1023, 769), (4000, 3000)),
)


def pattern(width: int, height: int) -> Image.Image:
    """Return an RGB image with slopes, edges and fine texture."""
    x, y = np.arange(width, dtype=np.uint32)[None, :], np.arange(height, dtype=np.uint32)[:, None]
    pixels: NDArray[np.uint8] = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = (x * 7 + y * 3 + (x // 11 % 2) * 90) & 255
    pixels[..., 1] = ((x * y) // 5 + (y // 7 % 3) * 60) & 255
    pixels[..., 2] = ((x * 2654435761 + y * 40503) >> 9) & 255
    return Image.fromarray(pixels)
