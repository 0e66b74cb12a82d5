"""Calibrate a model: learn the range and the moments of each layer's input in one pass over its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

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
PENDING_ROWS = 1024  # that are added at once: few at a time cost more in overhead than in arithmetic
BLOCK = 512  # columns of the second moments that are added up at once


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
    moments: Moments | None  # None for a depthwise convolution, whose weights multiply one channel each
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
        if self.moments is not None:
            self.moments.add(rows)

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
    moments = None if layer.depthwise else Moments.empty(layer.weight_matrix.shape[1])
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
    if isinstance(module, MatMul):
        rows = x.flatten(1, -2)  # (N, P, K)
    elif module.kernel_size == (1, 1) or layer.depthwise:
        rows = x.flatten(2).transpose(1, 2)
    else:
        rows = F.unfold(x, module.kernel_size, stride=module.stride).transpose(1, 2)
    count = rows.shape[1]
    chosen = torch.linspace(0, count - 1, min(positions, count)).long()
    return rows[:, chosen].flatten(0, 1).float()
