"""Resizing as PyTorch does it with 8-bit tensors, by which transformers 5 prepares images.

Source: `upsample_*2d_aa` for uint8 (aten/src/ATen/native/cpu/UpSampleKernel.cpp). It is Pillow's way with two
differences: weights have 16 bits instead of 32, and rows are always resized before columns, where Pillow
begins with what leaves fewer pixels. Bicubic samples overshoot and are cut off in between, so that the order
shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
WEIGHT_BITS = 15  # beside the sign
BLOCK = 2**20  # samples that are resized at once, as 8 MiB of float64
MOST_BITS = 22  # behind the point, as in Pillow


@dataclass(frozen=True)
class Filter:
    """A kernel: its half width, and its value at distances in (scaled) pixels."""

    support: float
    at: Callable[[Values], Values]


def bilinear(x: Values) -> Values:
    """Return the triangle of half width 1."""
    return np.maximum(0.0, 1.0 - np.abs(x))


def bicubic(x: Values) -> Values:
    """Return Keys' cubic convolution with a = -0.5."""
    d = np.abs(x)
    inner = (1.5 * d - 2.5) * d * d + 1.0
    return np.where(d < 1, inner, np.where(d < 2, (((d - 5.0) * d + 8.0) * d - 4.0) * -0.5, 0.0))


FILTERS = {"bilinear": Filter(1.0, bilinear), "bicubic": Filter(2.0, bicubic)}


@dataclass(frozen=True)
class Taps:
    """Along one axis: where the source pixels of each output begin, and how much of each is taken."""

    begins: list[int]
    weights: list[Values]  # whole numbers: fractions times 2 ** `bits`
    bits: int


def resize(pixels: NDArray[np.uint8], width: int, height: int, filter: Filter) -> NDArray[np.uint8]:
    """Return (H, W, channels) bytes resized to `height` and `width`."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))  # (channels, H, W)
    if width != planes.shape[2]:
        planes = resize_rows(planes, width, filter)
    if height != planes.shape[1]:
        turned = np.ascontiguousarray(planes.transpose(0, 2, 1))
        planes = resize_rows(turned, height, filter).transpose(0, 2, 1)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def resize_rows(planes: NDArray[np.uint8], target: int, filter: Filter) -> NDArray[np.uint8]:
    """Return bytes (channels, H, W) as (channels, H, target)."""
    taps = compute_taps(planes.shape[2], target, filter)
    pairs = list(zip(taps.begins, taps.weights, strict=True))
    rows = planes.reshape(-1, planes.shape[2])
    made = np.empty((len(rows), target), np.uint8)
    half, scale = 2.0 ** (taps.bits - 1), 2.0**taps.bits
    step = max(1, BLOCK // rows.shape[1])
    for first in range(0, len(rows), step):
        block = rows[first : first + step].astype(np.float64)
        sums = np.stack(
            [block[:, begin : begin + len(weights)] @ weights for begin, weights in pairs], axis=1
        )
        # exact, as all are whole
        made[first : first + step] = np.clip(np.floor((sums + half) / scale), 0, 255)
    return made.reshape(*planes.shape[:2], target)


@lru_cache(maxsize=64)  # photographs of a set have few sizes, and it takes longer than a small resize
def compute_taps(source: int, target: int, filter: Filter) -> Taps:
    """Return the taps of a resize from `source` to `target` pixels."""
    scale = source / target
    stretch = max(scale, 1.0)
    support = filter.support * stretch
    begins, exact = [], []
    for output in range(target):
        centre = scale * (output + 0.5)
        begin, end = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), source)
        values = filter.at((np.arange(begin, end, dtype=np.float64) - centre + 0.5) / stretch)
        begins.append(begin)
        exact.append(values / (values.sum() or 1.0))
    bits = bits_for(max(float(values.max()) for values in exact))
    return Taps(begins, [rounded(values * 2**bits) for values in exact], bits)


def bits_for(largest: float) -> int:
    """Return the bits behind the point with which the largest weight still fits."""
    bits = 0
    while bits < MOST_BITS and math.floor(0.5 + largest * 2 ** (bits + 1)) < 2**WEIGHT_BITS:
        bits += 1
    return bits


def rounded(values: Values) -> Values:
    """Return the nearest whole numbers, of halves those farther from 0."""
    return np.trunc(values + np.copysign(0.5, values))
