"""Calibrate a model: learn the range and the moments of each layer's input in one pass over its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from convnext_edge.network.forms import MatMul
from convnext_edge.network.layers import Layer
from convnext_edge.network.lowering import LoweredConvNeXt
from convnext_edge.quantization.observers import (
    ActivationRange,
    ValueCounts,
    counts_of,
    make_observer,
    range_of,
)
from convnext_edge.quantization.recipe import ACTIVATION_BITS, Recipe
from convnext_edge.quantization.recording import record_inputs, side_by_side

POSITIONS = 4096  # that are looked at for each layer, over all images: twice as many changed no result
PIECE_POSITIONS = 16  # of those in each piece of an image that a head cuts out
PENDING_ROWS = 1024  # that are added at once: few at a time cost more in overhead than in arithmetic
BLOCK = 512  # columns of the second moments that are added up at once
# Columns from which the second moments are kept in pieces, each without the columns of the others: those of
# 3x3 kernels over 2,048 channels would take 1.4 GB, and be of fewer positions than columns.
WIDE, PIECE = 12288, 4608


@dataclass
class Moments:
    """The first two moments of a layer's input rows (K,), as sums over the rows."""

    count: int  # rows
    total: Tensor  # sum of the rows, (K,)
    second: Tensor  # sum of their outer products, (K, K); only the lower triangle is to be read

    @classmethod
    def empty(cls, size: int) -> Moments:
        """Make the moments of no rows, for rows of `size` numbers."""
        return cls(0, torch.zeros(size), torch.zeros(size, size))

    def add(self, rows: Tensor) -> None:
        """Add rows (N, K)."""
        self.count += len(rows)
        self.total += rows.sum(0)
        for start in range(0, rows.shape[1], BLOCK):
            end = start + BLOCK
            self.second[start:, start:end].addmm_(rows[:, start:].T, rows[:, start:end])


class InputSample(NamedTuple):
    """What one run of the model tells of a layer's input."""

    rows: Tensor  # a sample of what the weight matrix is multiplied by, (N, K)
    extremes: Tensor | None  # least and largest of all values, (2,); None where the observer takes rows


@dataclass
class InputStatistics:
    """What all runs of the model tell of a layer's input."""

    observer: Any  # torchao's; None for an input that stays float
    takes_extremes: bool  # whether the observer is given the extremes of all values, or else the rows
    # of pieces of the columns, in their order; empty for a depthwise convolution, whose weights multiply one
    # channel each
    moments: tuple[Moments, ...]
    pending: list[InputSample] = field(default_factory=list)  # not yet added to observer and moments

    @property
    def pending_rows(self) -> int:
        """How many rows are not added yet."""
        return sum(len(sample.rows) for sample in self.pending)

    def add_pending(self) -> None:
        """Give the observer and the moments what is pending."""
        if not self.pending:
            return
        rows = torch.cat([sample.rows for sample in self.pending])
        extremes = [sample.extremes for sample in self.pending if sample.extremes is not None]
        self.pending.clear()
        if self.observer is not None:
            self.observer(torch.cat(extremes) if self.takes_extremes else rows)
        start = 0
        for piece in self.moments:
            piece.add(rows[:, start : start + len(piece.total)])
            start += len(piece.total)

    def range(self) -> ActivationRange:
        """Return the range that the recipe's observer chose; only for an input that is quantized."""
        return range_of(self.observer)

    def counts(self) -> ValueCounts | None:
        """Return how often which values were seen; None where the recipe asks for extremes alone."""
        return counts_of(self.observer)

    def range_by(self, recipe: Recipe) -> ActivationRange:
        """Return the range that another recipe would choose from the extremes that were seen."""
        observer = make_observer(recipe)
        observer(torch.stack([self.observer.min_val, self.observer.max_val]))
        return range_of(observer)


def calibrate(
    model: LoweredConvNeXt,
    batches: Iterable[Tensor],
    recipe: Recipe,
    placement: Mapping[str, bool],
    *,
    images: int,
) -> dict[str, InputStatistics]:
    """Return statistics of the input of each quantized layer, by name.

    model: in float. batches: its inputs (N, 3, H, W), `images` in all. placement: as of `choose_placement`.
    """
    positions = ceil(POSITIONS / images)
    layers = {name: layer for name, layer in model.layers().items() if placement[name]}
    statistics = {name: empty_statistics(layer, recipe.at(name)) for name, layer in layers.items()}

    def sample(name: str, x: Tensor) -> InputSample:
        extremes = torch.stack(x.aminmax()).float() if statistics[name].takes_extremes else None
        return InputSample(sample_rows(layers[name], x, positions), extremes)

    modules = {name: layer.module for name, layer in layers.items()}
    for samples in record_inputs(model, batches, modules, sample):
        for name, found in statistics.items():
            found.pending.append(samples[name])
        if max(found.pending_rows for found in statistics.values()) >= PENDING_ROWS:
            add_all_pending(statistics.values())
    add_all_pending(statistics.values())
    return statistics


def add_all_pending(statistics: Iterable[InputStatistics]) -> None:
    """Add what is pending, from the last layer, the widest, to the first.

    So no thread is left alone with a wide one.
    """
    for _ in side_by_side(InputStatistics.add_pending, reversed([*statistics])):
        pass  # what it returns is None


def empty_statistics(layer: Layer, recipe: Recipe) -> InputStatistics:
    """Make the statistics of a layer's input before any image. recipe: as this layer sees it."""
    moments = () if layer.depthwise else tuple(map(Moments.empty, piece_sizes(layer)))
    observer = None if recipe.activation == "float" else make_observer(recipe)
    # extremes are those of all values, of a histogram a sample tells as much
    takes_extremes = observer is not None and (
        recipe.range == "minmax" or ACTIVATION_BITS[recipe.activation] == 16
    )
    return InputStatistics(observer, takes_extremes, moments)


def sample_rows(layer: Layer, x: Tensor, positions: int) -> Tensor:
    """Return what the weight matrix is multiplied by at evenly spread positions of input `x`, (rows, K).

    At each position there are as many rows as images; a row of a depthwise convolution has all channels of a
    pixel.
    """
    module = layer.module
    if layer.pieces > 1:
        x, positions = sample_pieces(x, layer.pieces, positions)
    if isinstance(module, MatMul):
        rows = x.flatten(1, -2)  # (N, P, K)
    elif module.kernel_size == (1, 1) or layer.depthwise:
        rows = x.flatten(2).transpose(1, 2)
    else:
        return sample_windows(x, module, positions)
    count = rows.shape[1]
    return rows[:, spread(count, positions)].flatten(0, 1).float()


def sample_pieces(x: Tensor, pieces: int, positions: int) -> tuple[Tensor, int]:
    """Return some of the pieces (N * pieces, ...) of images, and how many positions to look at in each.

    All together, that is about `positions` of each image.
    """
    images = max(1, len(x) // pieces)
    each = PIECE_POSITIONS if x.ndim > 3 and x.shape[-1] > 1 else 1
    return x[spread(len(x), max(1, positions * images // each))], each


def sample_windows(x: Tensor, conv: nn.Conv2d, positions: int) -> Tensor:
    """Return the windows of `x` (N, C, H, W) that a kernel is multiplied by at some positions, (rows, K).

    They have no padding, unless `x` is smaller than the kernel, as the last map of a small image is.
    """
    (height, width), (down, across) = conv.kernel_size, conv.stride
    if x.shape[2] < height or x.shape[3] < width:
        rows, columns = map(int, conv.padding)
        x = functional.pad(x, (columns, columns, rows, rows))
    windows = x.unfold(2, height, down).unfold(3, width, across)  # a view (N, C, rows, columns, kh, kw)
    columns = windows.shape[3]
    chosen = spread(windows.shape[2] * columns, positions)
    found = windows[:, :, chosen // columns, chosen % columns]  # (N, C, positions, kh, kw)
    return found.transpose(1, 2).flatten(2).flatten(0, 1).float()


def spread(count: int, most: int) -> Tensor:
    """Return numbers below `count`, evenly spread; all of them where they are no more than `most`."""
    return torch.linspace(0, count - 1, min(most, count)).long()


def piece_sizes(layer: Layer) -> list[int]:
    """Return into how many columns each the weight matrix of a layer is cut.

    No piece ends within a pair of input channels, whose codes are bounded together.
    """
    columns = layer.weight_matrix.shape[1]
    if columns <= WIDE:
        return [columns]
    pair = 2 * kernel_area(layer)
    size = PIECE // pair * pair
    return [min(size, columns - start) for start in range(0, columns, size)]


def kernel_area(layer: Layer) -> int:
    """Return how many columns of the weight matrix belong to one input channel."""
    module = layer.module
    return 1 if isinstance(module, MatMul) else module.kernel_size[0] * module.kernel_size[1]
