"""What calibration learns of the input of each layer: its range and its second moments, in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.network.forms import MatMul
from convnext_edge.quantization.insert_qdq import (
    ActivationRange,
    activation_observer,
    is_quantized,
    reference_name,
)
from convnext_edge.quantization.recipe import ACTIVATION_BITS, Recipe
from convnext_edge.quantization.recording import side_by_side, watch

Multiplication = nn.Conv2d | MatMul

ROWS = 4096  # positions looked at for each layer, over all images: twice as many changed no result
BUFFER = 1024  # rows that are taken up at once: few at a time cost more in overhead than in arithmetic
BLOCK = 512  # columns of the second moments that are added up at once


@dataclass
class Moments:
    """Of a layer's input rows (K,): how many, their sum, and the sum of their outer products (K, K).

    Of the symmetric `second` only the lower triangle is to be read.
    """

    count: int
    total: Tensor
    second: Tensor

    @classmethod
    def none(cls, size: int) -> Moments:
        return cls(0, torch.zeros(size), torch.zeros(size, size))

    def add(self, rows: Tensor) -> None:
        """rows: (N, K)."""
        self.count += len(rows)
        self.total += rows.sum(0)
        for start in range(0, rows.shape[1], BLOCK):
            end = start + BLOCK
            self.second[start:, start:end].addmm_(rows[:, start:].T, rows[:, start:end])


class Seen(NamedTuple):
    """Of one layer's input. rows (N, K): a sample of what weights multiply. extremes (2,): of all values."""

    rows: Tensor
    extremes: Tensor | None


@dataclass
class InputStatistics:
    """Of one layer. moments: None for a depthwise convolution, whose weights multiply one channel each.

    observer: sees the extremes of all values where `sees_all`, else the rows. waiting: not taken up yet.
    """

    observer: Any
    sees_all: bool
    moments: Moments | None
    waiting: list[Seen] = field(default_factory=list)

    @property
    def rows_waiting(self) -> int:
        return sum(len(seen.rows) for seen in self.waiting)

    def take_up(self) -> None:
        if not self.waiting:
            return
        rows = torch.cat([seen.rows for seen in self.waiting])
        extremes = [seen.extremes for seen in self.waiting if seen.extremes is not None]
        self.waiting.clear()
        self.observer(torch.cat(extremes) if self.sees_all else rows)
        if self.moments is not None:
            self.moments.add(rows)

    @property
    def range(self) -> ActivationRange:
        return _range(self.observer)

    def range_by(self, recipe: Recipe) -> ActivationRange:
        """What another recipe would make of the extremes that were seen."""
        observer = activation_observer(recipe)()
        observer(torch.stack([self.observer.min_val, self.observer.max_val]))
        return _range(observer)


def _range(observer: Any) -> ActivationRange:
    scale, zero_point = observer.calculate_qparams()
    return ActivationRange(float(scale), int(zero_point))


def observe(
    module: nn.Module, batches: Iterable[Tensor], recipe: Recipe, *, images: int, raw_bytes: bool
) -> dict[str, InputStatistics]:
    """Statistics of the input of each layer that `recipe` quantizes, by name.

    module: a lowered model, in float. batches: its inputs (N, 3, H, W), `images` in all; raw_bytes: of uint8.
    """
    positions = ceil(ROWS / images)
    chosen = placement(module, recipe, raw_bytes=raw_bytes)
    layers = {name: layer for name, layer in multiplications(module).items() if chosen[name]}
    found = {name: _nothing_seen(layer, recipe.at(name)) for name, layer in layers.items()}

    def look(name: str, x: Tensor) -> Seen:
        extremes = torch.stack(x.aminmax()).float() if found[name].sees_all else None
        return Seen(sample_rows(layers[name], x, positions), extremes)

    for seen in watch(module, batches, layers, look):
        for name, statistics in found.items():
            statistics.waiting.append(seen[name])
        if max(statistics.rows_waiting for statistics in found.values()) >= BUFFER:
            take_up_all(found.values())
    take_up_all(found.values())
    return found


def take_up_all(statistics: Iterable[InputStatistics]) -> None:
    """From the last layer, the widest, to the first, so that no thread is left alone with a wide one."""
    deque(side_by_side(InputStatistics.take_up, reversed([*statistics])), maxlen=0)


def _nothing_seen(layer: Multiplication, recipe: Recipe) -> InputStatistics:
    moments = None if is_depthwise(layer) else Moments.none(weight_matrix(layer).shape[1])
    # extremes are those of all values, of a histogram a sample tells as much
    sees_all = recipe.range == "minmax" or ACTIVATION_BITS[recipe.activation] == 16
    return InputStatistics(activation_observer(recipe)(), sees_all, moments)


def placement(module: nn.Module, recipe: Recipe, *, raw_bytes: bool) -> dict[str, bool]:
    """Of each layer of a lowered model by name, whether `recipe` quantizes it. raw_bytes: of the input."""
    return {
        name: is_quantized(
            recipe, name, depthwise=is_depthwise(layer), raw_bytes=raw_bytes and name == "stem"
        )
        for name, layer in multiplications(module).items()
    }


def multiplications(module: nn.Module) -> dict[str, Multiplication]:
    """The layers of a lowered model by the reference's names."""
    return {
        reference_name(path): layer
        for path, layer in module.named_modules()
        if isinstance(layer, Multiplication)
    }


def is_depthwise(layer: Multiplication) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups > 1


def weight_matrix(layer: Multiplication) -> Tensor:
    """(O, K)."""
    return layer.weight.data.T if isinstance(layer, MatMul) else layer.weight.data.flatten(1)


def sample_rows(layer: Multiplication, x: Tensor, positions: int) -> Tensor:
    """What the weight matrix is multiplied by at evenly spread positions, (rows, K).

    At each as many rows as images; of a depthwise convolution, all channels of a pixel.
    """
    if isinstance(layer, MatMul):
        rows = x.flatten(1, -2)  # (N, P, K)
    elif layer.kernel_size == (1, 1) or is_depthwise(layer):
        rows = x.flatten(2).transpose(1, 2)
    else:
        rows = F.unfold(x, layer.kernel_size, stride=layer.stride).transpose(1, 2)
    count = rows.shape[1]
    chosen = torch.linspace(0, count - 1, min(positions, count)).long()
    return rows[:, chosen].flatten(0, 1).float()
