"""Ranges of activations: the scale and zero point that observers choose from the values they saw."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchao.quantization.pt2e import HistogramObserver, MinMaxObserver

from convnext_edge.quantization.recipe import ACTIVATION_BITS, Recipe


class ActivationRange(NamedTuple):
    """The grid of an activation: x is stored as round(x / scale) + zero_point."""

    scale: float
    zero_point: int


class ValueCounts(NamedTuple):
    """How often values of an activation were seen, in bins of equal width."""

    counts: Tensor  # (bins,)
    least: float  # lower edge of the first bin
    largest: float  # upper edge of the last


def activation_codes(recipe: Recipe) -> dict[str, Any]:
    """Return dtype, quant_min, quant_max and qscheme, as torchao calls them, of the recipe's activations."""
    dtype: torch.dtype = getattr(torch, recipe.activation)
    return {
        "dtype": dtype,
        "quant_min": torch.iinfo(dtype).min,
        "quant_max": torch.iinfo(dtype).max,
        "qscheme": torch.per_tensor_symmetric if dtype.is_signed else torch.per_tensor_affine,
    }


def make_observer(recipe: Recipe) -> Any:
    """Make the torchao observer that chooses the range of an activation from its values, as `recipe` says."""
    codes = activation_codes(recipe)
    if ACTIVATION_BITS[recipe.activation] == 16:
        return RoomyObserver(**codes, eps=2**-28)
    if recipe.range == "percentile":
        return PercentileObserver(**codes, eps=2**-20, outside=recipe.outside)
    return EIGHT_BIT_OBSERVERS[recipe.range](**codes, eps=2**-20)


def range_of(observer: Any) -> ActivationRange:
    """Return the range that an observer chose from what it saw."""
    scale, zero_point = observer.calculate_qparams()
    return ActivationRange(float(scale), int(zero_point))


def counts_of(observer: Any) -> ValueCounts | None:
    """Return what an observer saw; None for one that looks at extremes alone."""
    if not isinstance(observer, HistogramObserver):
        return None
    return ValueCounts(observer.histogram.clone(), float(observer.min_val), float(observer.max_val))


class RoomyObserver(MinMaxObserver):  # type: ignore[misc]
    """An observer that takes twice the range that was seen, for codes of 16 bits.

    One bit of them keeps other images from being cut off, and the remaining 15 are 48 dB finer than codes
    of 7.
    """

    ROOM = 2.0

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        qparams: tuple[Tensor, Tensor] = self._calculate_qparams(
            self.ROOM * self.min_val, self.ROOM * self.max_val
        )
        return qparams


class PercentileObserver(HistogramObserver):  # type: ignore[misc]
    """An observer that cuts the range so that `outside` of all values lie beyond it, half at each end."""

    def __init__(self, *args: Any, outside: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outside = outside

    def _non_linear_param_search(self) -> tuple[Tensor, Tensor]:
        mass = self.histogram.double().cumsum(0) / self.histogram.sum()
        width = (self.max_val - self.min_val) / self.bins
        first = torch.searchsorted(mass, self.outside / 2)
        last = torch.searchsorted(mass, 1 - self.outside / 2)
        return self.min_val + width * first, torch.minimum(self.min_val + width * (last + 1), self.max_val)


class MSEObserver(HistogramObserver):  # type: ignore[misc]
    """An observer that shrinks both ends of the range to the least squared error over the histogram.

    Coordinate search over `STEPS` positions of each end, error of each bin's centre after fake
    quantization, weighted with the bin's count.
    """

    STEPS = 64
    DEEPEST = 0.5  # of an end's distance to zero that the search may cut off

    def _non_linear_param_search(self) -> tuple[Tensor, Tensor]:
        width = (self.max_val - self.min_val) / self.bins
        centres = self.min_val + width * (torch.arange(self.bins) + 0.5)
        low, high = self.min_val.clamp(max=0), self.max_val.clamp(min=0)
        fractions = torch.linspace(1, self.DEEPEST, self.STEPS)
        for _ in range(2):
            highs = self.max_val * fractions
            high = highs[self._errors(centres, low.expand_as(highs), highs).argmin()]
            lows = self.min_val * fractions
            low = lows[self._errors(centres, lows, high.expand_as(lows)).argmin()]
        return low, high

    def _errors(self, centres: Tensor, lows: Tensor, highs: Tensor) -> Tensor:
        """Sum the squared error over all values seen, for each of the ranges from lows (R,) to highs (R,)."""
        scale, zero_point = (q[:, None] for q in self._calculate_qparams(lows, highs))
        codes = torch.clamp(torch.round(centres / scale) + zero_point, self.quant_min, self.quant_max)
        errors: Tensor = (centres - (codes - zero_point) * scale).square() @ self.histogram
        return errors


EIGHT_BIT_OBSERVERS: dict[str, Any] = {
    "histogram": HistogramObserver,
    "minmax": MinMaxObserver,
    "percentile": PercentileObserver,
    "mse": MSEObserver,
}
