"""Channel scales moved from activations to weights before quantization, at no cost in the engine.

SmoothQuant (Xiao et al., 2022, arXiv:2211.10438, equation 4) divides each input channel of a layer by

    s = max|x| ** strength / max|w| ** (1 - strength)

and multiplies the weights by it, so that one scale for the whole tensor fits all its channels. Behind a
LayerNorm or GRN the division folds into what is there already.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from convnext_edge.network.lowering import Scaled
from convnext_edge.quantization.recording import watch

SMALLEST = 1e-30
TINY = 1e-5  # of the largest channel: what an all but dead channel counts as


def smooth(module: nn.Module, batches: Iterable[Tensor], strength: float) -> None:
    """Rescale every `Scaled` layer of a lowered model in place, by what `batches` (N, 3, H, W) show."""
    scaled = {part: part.layer for part in module.modules() if isinstance(part, Scaled)}

    def peaks_of(part: Scaled, x: Tensor) -> Tensor:
        return x.abs().movedim(part.factory.axis, 0).flatten(1).amax(1).float()  # (C,)

    peaks: dict[Scaled, Tensor] = {}
    for seen in watch(module, batches, scaled, peaks_of):
        peaks = {part: torch.maximum(peaks.get(part, values), values) for part, values in seen.items()}
    for part in scaled:
        part.move_scale(smoothing_factor(peaks[part].clone(), part.weight_peaks(), strength))


def smoothing_factor(activation: Tensor, weight: Tensor, strength: float) -> Tensor:
    """s of each channel (C,), its geometric mean 1."""
    factor = lift_dead(activation) ** strength / lift_dead(weight) ** (1 - strength)
    return factor / factor.log().mean().exp()


def lift_dead(peaks: Tensor) -> Tensor:
    """Peaks (C,) above zero; where all channels are dead, as behind a LayerNorm of zeros, they are alike."""
    return peaks.clamp(min=max(TINY * float(peaks.max()), SMALLEST))
