"""A ConvNeXt with the scales of its norms spread over 12 octaves, and the same function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.network.convnext import Block, ConvNeXt, Downsample
from convnext_edge.network.norms import Norm

OCTAVES = 6  # scales are multiplied by 2 ** -6 to 2 ** 6: 1/64 to 64


def write_rescaled(checkpoint: Path, output: Path) -> Path:
    model = load_checkpoint(checkpoint).model
    rescale_norms(model)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, output)
    return output


@torch.no_grad()
def rescale_norms(model: ConvNeXt, seed: int = 0) -> None:
    """Multiply each LayerNorm by 2 ** U(-6, 6) a channel, and divide the layer behind it."""
    generator = torch.Generator().manual_seed(seed)
    for norm, weight in normalized_weights(model):
        factor = 2 ** (OCTAVES * (2 * torch.rand(len(norm.weight), generator=generator) - 1))
        norm.weight.mul_(factor)
        if norm.bias is not None:
            norm.bias.mul_(factor)
        weight /= factor.view(1, -1, *[1] * (weight.ndim - 2))


def normalized_weights(model: ConvNeXt) -> Iterator[tuple[Norm, Tensor]]:
    """Each LayerNorm, with the weight (out, in, ...) behind it; the stem's feeds residual sums too."""
    for module in model.modules():
        if isinstance(module, Block):
            yield module.norm, module.pwconv1.weight
        if isinstance(module, Downsample):
            yield module.norm, module.conv.weight
    yield model.norm, model.head.weight
