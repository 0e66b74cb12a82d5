"""ReLU in place of GELU: the ConvNeXt paper (section 2.5) found them equal, and engines run ReLU faster.

A trained model cannot swap them as it is: GELU dips below zero, so the mean of every channel moves. The
bias of the next layer can make up for that, and does so here; what is left for training is little. (A
slope for each channel by least squares brought nothing beyond it.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.network.convnext import Block, ConvNeXt


@dataclass
class Shift:
    """What ReLU adds to the second pointwise layer's input. total: over all positions, (4C,) float64."""

    total: Tensor
    count: int = 0

    def add(self, difference: Tensor) -> None:
        """difference: (N, H, W, 4C)."""
        self.total += difference.double().sum((0, 1, 2))
        self.count += difference[..., 0].numel()

    @property
    def mean(self) -> Tensor:
        return (self.total / self.count).float()


def with_relu(model: ConvNeXt, batches: Iterable[Tensor]) -> ConvNeXt:
    """A copy of `model` with ReLU, its biases corrected by `batches` of normalized (N, 3, H, W) images."""
    changed = deepcopy(model)
    blocks = [module for module in changed.modules() if isinstance(module, Block)]
    shifts = [Shift(torch.zeros(block.pwconv1.out_features, dtype=torch.float64)) for block in blocks]
    pairs = list(zip(blocks, shifts, strict=True))
    handles = [block.pwconv1.register_forward_hook(watch(block, shift)) for block, shift in pairs]
    with torch.no_grad():
        for images in batches:
            changed(images)
        for handle in handles:
            handle.remove()
        for block, shift in pairs:
            block.act = nn.ReLU()
            block.pwconv2.bias.sub_(block.pwconv2.weight @ shift.mean)
    return changed


def watch(block: Block, shift: Shift) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """A hook on the first pointwise layer of `block`, whose answer (N, H, W, 4C) both would be given."""

    def hook(_layer: nn.Module, _inputs: tuple[Tensor, ...], x: Tensor) -> None:
        shift.add(block.grn(F.relu(x)) - block.grn(block.act(x)))

    return hook
