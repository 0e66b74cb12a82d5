"""Weights and multiply-adds of a module, as PyTorch itself counts them."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def macs(module: nn.Module, size: int = 224) -> int:
    """Multiplications with their additions, of convolutions and products of matrices, for one image.

    Nothing is computed: weights and image are on PyTorch's device for shapes.
    """
    shapes = deepcopy(module).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(torch.empty(1, 3, size, size, device="meta"))
    return int(counter.get_total_flops()) // 2
