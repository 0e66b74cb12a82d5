"""Windows that slide over a picture, so that a segmenter of one size sees all of it in its proportions.

Source: slide_inference of mmsegmentation (mmseg/models/segmentors/encoder_decoder.py) with the values of
the configurations for ADE20K: the shorter edge is that of the window, windows are two thirds of an edge
apart, and logits are averaged where windows overlap and resized to the picture before the largest is taken.
The longer edge is 16 windows here at most (`whole_picture`), 4 there, where the window of a longer picture
is not full, which would need a model of another size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convnext_edge.images.bilinear import neighbours
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess

STRIDE = 2, 3  # from one window to the next, as a fraction of its edge
ROWS = 16  # of a picture that are resized at a time: logits of pixels take a lot of memory

Pixels = NDArray[np.uint8]  # (H, W, channels)
Logits = NDArray[np.float32]  # (classes, H, W)
LabelMap = NDArray[np.int64]  # (H, W)


def cover(picture: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Return a picture resized in its proportions, so that a window just fits into it."""
    height, width = picture.shape[:2]
    rows, columns = preprocessing.size
    scale = max(rows / height, columns / width)
    whole = replace(
        preprocessing,
        resolution=max(rows, int(height * scale + 0.5)),
        width=max(columns, int(width * scale + 0.5)),
        resize_mode="squash",
        crop=1.0,
        resize=None,
    )
    return preprocess(Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture), whole)


def starts(edge: int, window: int) -> list[int]:
    """Return where windows begin along an edge; the last one ends with it."""
    stride = max(1, window * STRIDE[0] // STRIDE[1])
    count = -(-(edge - window) // stride) + 1
    return [min(number * stride, edge - window) for number in range(count)]


@dataclass
class Grid:
    """The windows over a picture, and the sum of what a model answers to them."""

    window: tuple[int, int]  # rows and columns
    size: tuple[int, int]  # of the picture, nowhere smaller than a window
    _sum: Logits | None = field(default=None, repr=False)
    _added: int = 0

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """First row and column of each window, row by row."""
        tops, lefts = map(starts, self.size, self.window)
        return [(top, left) for top in tops for left in lefts]

    def cut(self, pixels: Pixels) -> Pixels:
        """Return the windows of a picture, (N, channels, rows, columns)."""
        rows, columns = self.window
        cut = [pixels[top : top + rows, left : left + columns] for top, left in self.places]
        return np.ascontiguousarray(np.stack(cut).transpose(0, 3, 1, 2))

    def add(self, logits: NDArray[np.float32]) -> None:
        """Add the answers (N, classes, rows, columns) to the windows that follow."""
        rows, columns = self.window
        if self._sum is None:
            self._sum = np.zeros((logits.shape[1], *self.size), np.float32)
        for answer in logits:
            top, left = self.places[self._added]
            self._sum[:, top : top + rows, left : left + columns] += answer
            self._added += 1

    def mean(self) -> Logits:
        """Return the mean of the answers to all windows, for each pixel of those that see it."""
        if self._sum is None or self._added != len(self.places):
            raise ValueError(f"{self._added} of {len(self.places)} windows are answered")
        rows, columns = self.window
        counts = np.zeros(self.size, np.float32)
        for top, left in self.places:
            counts[top : top + rows, left : left + columns] += 1
        return self._sum / counts


def classes_at(logits: Logits, size: tuple[int, int]) -> LabelMap:
    """Return the class with the largest logit of each pixel of a picture with these rows and columns.

    Logits of another size are resized as by PyTorch's `interpolate`, bilinear without aligned corners.
    """
    if logits.shape[1:] == size:
        return np.asarray(logits.argmax(0))
    (top, bottom, down), (left, right, across) = map(neighbours, logits.shape[1:], size)
    found = np.empty(size, np.int64)
    for start in range(0, size[0], ROWS):
        some = slice(start, start + ROWS)
        share = down[some, None]
        rows = logits[:, top[some]] * (1 - share) + logits[:, bottom[some]] * share
        found[some] = (rows[:, :, left] * (1 - across) + rows[:, :, right] * across).argmax(0)
    return found
