"""How ranges become scales: weight and activation observers beside those of torchao."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchao.quantization.pt2e import HistogramObserver, MinMaxObserver, PerChannelMinMaxObserver

SMALLEST_SCALE = 2.0**-30  # of weights that are all zero
PAIR_LIMIT = 128  # 255 * 128 < 2**15 <= 255 * 129: what two neighbouring weight codes may add up to


class NonSaturatingWeightObserver(PerChannelMinMaxObserver):  # type: ignore[misc]
    """Per-channel symmetric INT8 scale with which no CPU's 16-bit accumulation can overflow.

    Without VNNI, INT8 kernels multiply unsigned activations by signed weights and add neighbouring pairs
    along the input dimension in 16 bits (`vpmaddubsw`). The scale

        max(max|w| / 127, max|w[2k] + w[2k+1]| / 128)

    keeps every such sum of codes within 128; rounding half to even cannot lift it above. It is never
    coarser than a 7-bit scale, and finer unless two neighbours both come near the maximum.

    `pair_axis` is the input dimension of the weight. Kernels that unroll a patch may also pair along
    the flattened row, so both are bounded.
    """

    def __init__(self, *args: Any, pair_axis: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pair_axis = pair_axis
        self.register_buffer("pair_max", torch.tensor([]))

    def forward(self, weight: Tensor) -> Tensor:
        """weight: any shape with output channels along `ch_axis`."""
        self.pair_max = pair_sums(weight.detach().float(), self.ch_axis, self.pair_axis)
        seen: Tensor = super().forward(weight)
        return seen

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and (zero) zero point, one for each output channel."""
        largest = torch.maximum(self.min_val.abs(), self.max_val.abs())
        scale = torch.maximum(largest / self.quant_max, self.pair_max / PAIR_LIMIT).clamp(min=SMALLEST_SCALE)
        return scale, torch.zeros_like(scale, dtype=torch.int64)


class KnownScaleObserver(PerChannelMinMaxObserver):  # type: ignore[misc]
    """For weights that lie on the grid of `scale` (out,) already."""

    def __init__(self, *args: Any, scale: Tensor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("scale", scale)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        return self.scale, torch.zeros_like(self.scale, dtype=torch.int64)


def pair_sums(weight: Tensor, channel_axis: int, pair_axis: int) -> Tensor:
    """Largest |w[2k] + w[2k+1]| of each output channel, along `pair_axis` and along the flattened row."""
    along = weight.movedim((channel_axis, pair_axis), (0, -1))  # (out, ..., in)
    rows = [along, weight.movedim(channel_axis, 0).flatten(1)]
    sums = [row[..., 0:-1:2] + row[..., 1::2] for row in rows if row.shape[-1] > 1]
    if not sums:
        return torch.zeros(weight.shape[channel_axis])
    return torch.stack([s.flatten(1).abs().amax(1) for s in sums]).amax(0)


class RoomyObserver(MinMaxObserver):  # type: ignore[misc]
    """Twice the range that was seen, for codes of 16 bits: one bit of them keeps other images from being
    cut off, and the remaining 15 are 48 dB finer than codes of 7.
    """

    ROOM = 2.0

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        qparams: tuple[Tensor, Tensor] = self._calculate_qparams(
            self.ROOM * self.min_val, self.ROOM * self.max_val
        )
        return qparams


class PercentileObserver(HistogramObserver):  # type: ignore[misc]
    """Cuts the range of the activations where `outside` of all values lie beyond, half at each end."""

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
    """Shrinks both ends of the range to what gives the least squared error over the histogram.

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
        """Squared error (R,) with each of the ranges from lows to highs (R,), summed over all values seen."""
        scale, zero_point = (q[:, None] for q in self._calculate_qparams(lows, highs))
        codes = torch.clamp(torch.round(centres / scale) + zero_point, self.quant_min, self.quant_max)
        errors: Tensor = (centres - (codes - zero_point) * scale).square() @ self.histogram
        return errors
