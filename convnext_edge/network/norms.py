"""The normalizations of ConvNeXt, over the channels of a tensor.

layernorm   (x - mean) / sqrt(variance + eps), as all published models but timm's _rms ones have
rmsnorm     x / sqrt(mean of squares + eps), timm's `rmsnorm2d`: RMSNorm (arXiv:1910.07467)
simplenorm  x / sqrt(variance + eps), the mean left in, of timm's zepto; its variance divides by C - 1
GRN         global response normalization, of V2

A weight multiplies the result, and of a LayerNorm a bias is added.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.architecture import NormKind

GRN_EPS = 1e-6


class Norm(nn.Module):
    """A normalization over the last axis, of (..., C)."""

    def __init__(
        self, dim: int, kind: NormKind = "layernorm", *, eps: float = 1e-6, bias: bool = True
    ) -> None:
        super().__init__()
        self.kind: NormKind = kind
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "layernorm":
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        return normalize(x, self.kind, self.eps, axis=-1) * self.weight


class ChannelNorm(Norm):
    """A normalization over the channels of an (N, C, H, W) tensor."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x.permute(0, 2, 3, 1))  # (N, C, H, W) -> (N, H, W, C)
        return x.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


class GRN(nn.Module):
    """Global response normalization of an (N, H, W, C) tensor (ConvNeXt V2, equation 1 to 3)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        norms: Tensor = x.norm(p=2, dim=(1, 2), keepdim=True)  # (N, 1, 1, C)
        relative = norms / (norms.mean(dim=-1, keepdim=True) + GRN_EPS)  # (N, 1, 1, C)
        return self.weight * (x * relative) + self.bias + x


def normalize(x: Tensor, kind: NormKind, eps: float, *, axis: int) -> Tensor:
    """Return `x` normalized over `axis`, without weight and bias."""
    if kind == "rmsnorm":
        return x / torch.sqrt((x * x).mean(dim=axis, keepdim=True) + eps)
    centred = x - x.mean(dim=axis, keepdim=True)
    if kind == "layernorm":
        return centred / torch.sqrt((centred * centred).mean(dim=axis, keepdim=True) + eps)
    # As a power, not a product of two: so OpenVINO takes the difference and its square in one pass, and does
    # not write the difference twice in a model of INT8.
    variance = centred.pow(2).mean(dim=axis, keepdim=True) * unbiased(x.shape[axis])
    return x / torch.sqrt(variance + eps)


def normalize_by_moments(x: Tensor, kind: NormKind, eps: float, *, axis: int) -> Tensor:
    """Return what `normalize` does, from the mean and the length of what is normalized.

    For models that will be quantized: where the mean is 100 times the deviation, the result is off by up to
    0.4 %, a step of 8 bits; where it is 10 times, by 0.004 %. The variance is a difference, which rounding
    must not make negative. Between the two, the axis of length 1 is left out: OpenVINO and ONNX Runtime
    compute with it one number at a time.
    """
    count = x.shape[axis]
    length = torch.linalg.vector_norm(x, dim=axis, keepdim=True).squeeze(axis)
    squares = length * length * (1 / count)
    if kind == "rmsnorm":
        return x * reciprocal_root(squares + eps, axis)
    mean = x.mean(dim=axis, keepdim=True)
    flat = mean.squeeze(axis)
    variance = (squares - flat * flat).clamp(min=0)
    if kind == "simplenorm":
        return x * reciprocal_root(variance * unbiased(count) + eps, axis)
    return (x - mean) * reciprocal_root(variance + eps, axis)


def reciprocal_root(x: Tensor, axis: int) -> Tensor:
    """Return 1 / sqrt(x), with an axis of length 1."""
    return (1 / torch.sqrt(x)).unsqueeze(axis)


def unbiased(count: int) -> float:
    """Return what makes a mean of `count` squares the sum divided by one less, as simplenorm has it."""
    return count / (count - 1)
