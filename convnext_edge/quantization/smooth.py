"""Smooth a model: move scale from the channels of activations to the weights, at no cost in the engine.

SmoothQuant (Xiao et al., 2022, arXiv:2211.10438, equation 4) divides each input channel of a layer by

    s = max|x| ** strength / max|w| ** (1 - strength)

and multiplies the weights by it, so that one scale for the whole tensor fits all its channels. Behind a
LayerNorm or GRN the division folds into what is there already.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor

from convnext_edge.network.lowered_parts import Scaled
from convnext_edge.network.lowering import LoweredConvNeXt
from convnext_edge.quantization.recording import record_inputs

SMALLEST = 1e-30
TINY = 1e-5  # of the largest channel: what an all but dead channel counts as


def smooth(model: LoweredConvNeXt, batches: Iterable[Tensor], strength: float) -> LoweredConvNeXt:
    """Return a copy of `model` with every `Scaled` layer rescaled by what `batches` (N, 3, H, W) show."""
    smoothed = deepcopy(model)
    parts = {name: part for name, part in smoothed.named_modules() if isinstance(part, Scaled)}

    def channel_peaks(name: str, x: Tensor) -> Tensor:
        return x.abs().movedim(parts[name].factory.axis, 0).flatten(1).amax(1).float()  # (C,)

    peaks: dict[str, Tensor] = {}
    layers = {name: part.layer for name, part in parts.items()}
    for seen in record_inputs(smoothed, batches, layers, channel_peaks):
        peaks = {name: torch.maximum(peaks.get(name, values), values) for name, values in seen.items()}
    for name, part in parts.items():
        part.move_scale(smoothing_factor(peaks[name].clone(), part.weight_peaks(), strength))
    return smoothed


def smoothing_factor(activation: Tensor, weight: Tensor, strength: float) -> Tensor:
    """Return s of each channel, (C,), with a geometric mean of 1, from the peaks (C,) of both sides."""
    factor = lift_dead(activation) ** strength / lift_dead(weight) ** (1 - strength)
    return factor / factor.log().mean().exp()


def lift_dead(peaks: Tensor) -> Tensor:
    """Lift peaks (C,) above zero.

    Where all channels are dead, as behind a LayerNorm of zeros, they become alike.
    """
    return peaks.clamp(min=max(TINY * float(peaks.max()), SMALLEST))
