"""A convolution, BatchNorm and ReLU, of which the heads of OpenMMLab's libraries are made."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPS = 1e-5  # PyTorch's, which no library changes
MOMENTUM = 0.1  # of what a BatchNorm measures in training


class BatchNorm(nn.Module):
    """A batch normalization of (N, C, H, W), by what it measured in training."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def reset(self) -> None:
        """Put it back to what it is before any training."""
        for ones, zeros in ((self.weight, self.bias), (self.running_var, self.running_mean)):
            nn.init.ones_(ones)
            nn.init.zeros_(zeros)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            MOMENTUM,
            BATCH_NORM_EPS,
        )


class ConvNormReLU(nn.Module):
    """A convolution that keeps the size, BatchNorm, ReLU."""

    def __init__(self, before: int, dim: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, dim, kernel, padding=kernel // 2, bias=False)
        self.norm = BatchNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))
