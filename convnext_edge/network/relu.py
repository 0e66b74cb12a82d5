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
from convnext_edge.network.exporter import running


@dataclass
class Shift:
    """A running mean of what ReLU in place of GELU adds to the second pointwise layer's input."""

    total: Tensor  # sum over all positions, (4C,) float64
    count: int = 0  # positions

    def add(self, difference: Tensor) -> None:
        """Add the differences (N, H, W, 4C) of one batch."""
        self.total += difference.double().sum((0, 1, 2))
        self.count += difference[..., 0].numel()

    @property
    def mean(self) -> Tensor:
        """The mean of each channel, (4C,) float32."""
        return (self.total / self.count).float()


def with_relu(model: ConvNeXt, batches: Iterable[Tensor]) -> ConvNeXt:
    """Copy `model` with ReLU, its biases corrected by `batches` of normalized (N, 3, H, W) images."""
    changed = deepcopy(model)
    shifts = {
        block: Shift(torch.zeros(block.pwconv1.out_features, dtype=torch.float64))
        for block in changed.modules()
        if isinstance(block, Block)
    }
    hooks = [block.pwconv1.register_forward_hook(shift_hook(block, shift)) for block, shift in shifts.items()]
    with torch.no_grad():
        for images in batches:
            with running():
                changed(images)
        for hook in hooks:
            hook.remove()
        for block, shift in shifts.items():
            block.act = nn.ReLU()
            block.pwconv2.bias.sub_(block.pwconv2.weight @ shift.mean)
    return changed


def shift_hook(block: Block, shift: Shift) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """Make a hook for the first pointwise layer of `block`; both activations get its output (N, H, W, 4C)."""

    def hook(_layer: nn.Module, _inputs: tuple[Tensor, ...], x: Tensor) -> None:
        shift.add(block.grn(F.relu(x)) - block.grn(block.act(x)))

    return hook
