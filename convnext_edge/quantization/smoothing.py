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
from torch.utils.hooks import RemovableHandle

from convnext_edge.model.lowering import Scaled

TINY = 1e-5  # of the largest channel: what an all but dead channel counts as


def smooth(module: nn.Module, batches: Iterable[Tensor], strength: float) -> None:
    """Rescale every `Scaled` layer of a lowered model in place, by what `batches` (N, 3, H, W) show."""
    scaled = [part for part in module.modules() if isinstance(part, Scaled)]
    peaks: dict[Scaled, Tensor] = {}
    handles = [_watch(part, peaks) for part in scaled]
    with torch.inference_mode():
        for images in batches:
            module(images)
    for handle in handles:
        handle.remove()
    for part in scaled:
        part.move_scale(smoothing_factor(peaks[part].clone(), part.weight_peaks(), strength))


def _watch(part: Scaled, peaks: dict[Scaled, Tensor]) -> RemovableHandle:
    """Keep the largest |x| of each input channel of the layer in `peaks`."""

    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen = output.abs().movedim(part.layers.axis, 0).flatten(1).amax(1)
        peaks[part] = torch.maximum(peaks[part], seen) if part in peaks else seen

    return part.before.register_forward_hook(hook)


def smoothing_factor(activation: Tensor, weight: Tensor, strength: float) -> Tensor:
    """s of each channel (C,), its geometric mean 1."""
    activation = activation.clamp(min=TINY * float(activation.max()))
    weight = weight.clamp(min=TINY * float(weight.max()))
    factor = activation**strength / weight ** (1 - strength)
    return factor / factor.log().mean().exp()
