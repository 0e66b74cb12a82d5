"""ReLU in place of GELU: the ConvNeXt paper (section 2.5) found them equal, and engines run ReLU faster.

A trained model cannot swap them as it is: GELU is below zero between, and the mean of every channel
moves. But per channel a line through ReLU, a relu(x) + b, comes close to GELU, and the next layer absorbs
a and b, so that what is left for training is little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.model.convnext import Block, ConvNeXt

DAMPING = 0.01  # of the channels' mean variance: draws a to 1 where ReLU is nearly always zero


@dataclass
class Sums:
    """Of y, r, y r and r r over positions, (4, C) float64: y is the wanted input of the second pointwise
    layer, r the one that ReLU gives.
    """

    totals: Tensor
    count: int = 0

    def add(self, y: Tensor, r: Tensor) -> None:
        y, r = (values.flatten(0, -2).double() for values in (y, r))
        self.totals = self.totals + torch.stack([y.sum(0), r.sum(0), (y * r).sum(0), (r * r).sum(0)])
        self.count += len(y)

    def line(self) -> tuple[Tensor, Tensor]:
        """a and b (C,) of the least squared error of a r + b from y, a damped towards 1."""
        y, r, yr, rr = self.totals / self.count
        variance = rr - r * r
        damping = DAMPING * variance.mean()
        a = (yr - y * r + damping) / (variance + damping)
        return a.float(), (y - a * r).float()


def watch(block: Block, sums: Sums) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """A hook that compares the two behind what the first pointwise layer of `block` gives."""

    def hook(_layer: nn.Module, _inputs: tuple[Tensor, ...], x: Tensor) -> None:
        sums.add(block.grn(block.act(x)), block.grn(F.relu(x)))

    return hook


def fit(block: Block, a: Tensor, b: Tensor) -> None:
    """Swap the activation; the second pointwise layer takes a x + b of its new input x."""
    block.act = nn.ReLU()
    block.pwconv2.bias.add_(block.pwconv2.weight @ b)
    block.pwconv2.weight.mul_(a)


def with_relu(model: ConvNeXt, batches: Iterable[Tensor]) -> ConvNeXt:
    """A copy of `model` with ReLU, the layers behind it fitted to `batches` of normalized (N, 3, H, W)."""
    changed = deepcopy(model)
    blocks = [module for module in changed.modules() if isinstance(module, Block)]
    sums = [Sums(torch.zeros(4, block.pwconv1.out_features, dtype=torch.float64)) for block in blocks]
    handles = [
        block.pwconv1.register_forward_hook(watch(block, found))
        for block, found in zip(blocks, sums, strict=True)
    ]
    with torch.no_grad():
        for images in batches:
            changed(images)
        for handle in handles:
            handle.remove()
        for block, found in zip(blocks, sums, strict=True):
            fit(block, *found.line())
    return changed
