"""The form `linear`, for ONNX Runtime: (N, H, W, C) between the layers, each but the depthwise one a MatMul.

ONNX Runtime fuses DequantizeLinear, MatMul and bias into one INT8 operator only where the weight is stored
(in, out); a transpose between the two defeats it and is three times slower.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.architecture import NormKind
from convnext_edge.network.forms import (
    FoldedGRN,
    MatMul,
    Rescalable,
    Sides,
    convolution,
    copied,
    kernel_peaks,
    scale_kernel,
)
from convnext_edge.network.norms import Norm, normalize_by_moments, reciprocal_root, unbiased
from convnext_edge.network.unfolded import Unfolded


class LinearPatches(nn.Module):
    """A convolution whose stride is its kernel: patches become rows, then a MatMul.

    Takes (N, H, W, C), returns (N, H / stride, W / stride, out); what the stride does not divide is cut off.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.edge = weight.shape[-1]
        self.matmul = MatMul(weight.permute(0, 2, 3, 1).flatten(1), bias)  # (out, kh * kw * in)

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, c = x.shape
        edge, h, w = self.edge, height // self.edge, width // self.edge
        if height % edge or width % edge:
            x = x[:, : h * edge, : w * edge]
        x = x.reshape(n, h, edge, w, edge, c).permute(0, 1, 3, 2, 4, 5)
        y: Tensor = self.matmul(x.reshape(n, h, w, edge**2 * c))
        return y


class LinearConvolution(nn.Module):
    """A convolution of (N, H, W, C), between two transposes."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x.permute(0, 3, 1, 2))  # (N, H, W, C) -> (N, C, H, W)
        return y.permute(0, 2, 3, 1)


class LinearStem(nn.Module):
    """The stem as a MatMul over patches: (N, channels, H, W) -> (N, H / patch, W / patch, C)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.patches = LinearPatches(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.patches(x.permute(0, 2, 3, 1))  # (N, channels, H, W) -> (N, H, W, channels)
        return y


class LinearNorm(Rescalable):
    """A norm over the last axis; a scale costs nothing, as ONNX's operators have one anyway.

    Only simplenorm has no operator: there, a scale is a pass of its own.

    flat: whether simplenorm goes over rows of (N, H * W, C), which takes a graph of one size.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self, kind: NormKind, eps: float, weight: Tensor | None, bias: Tensor | None, *, flat: bool = True
    ) -> None:
        super().__init__()
        self.kind, self.eps, self.flat = kind, eps, flat
        self.register_buffer("weight", None if weight is None else weight.detach().clone())
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def rescale(self, factor: Tensor) -> None:
        self.weight = factor if self.weight is None else self.weight * factor

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "layernorm":
            return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)
        if self.kind == "rmsnorm":
            return rms_normalize(x, self.eps, self.weight)
        y = self._simple_normalize(x)
        return y if self.weight is None else y * self.weight

    def _simple_normalize(self, x: Tensor) -> Tensor:
        """Return what `normalize` does for simplenorm.

        Between two changes of shape, as else ONNX Runtime computes half of it before the transpose behind a
        depthwise convolution, and half behind: it then reorders the output of that convolution twice. Without
        the axis of length 1, as ONNX Runtime adds a number to it one by one.
        """
        rows = x.flatten(1, -2) if self.flat else x
        centred = rows - rows.mean(dim=-1, keepdim=True)
        variance = (centred * centred).mean(dim=-1) * unbiased(x.shape[-1])
        return (rows / torch.sqrt(variance + self.eps).unsqueeze(-1)).view(x.shape)


def rms_normalize(x: Tensor, eps: float, weight: Tensor | None) -> Tensor:
    """Return what `normalize` does for rmsnorm, times `weight` (C,), in the pattern that ONNX Runtime fuses.

    Its SimplifiedLayerNormalization is faster than LayerNormalization. The pattern ends in a weight.
    https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/optimizer/layer_norm_fusion.cc
    """
    weight = torch.ones(x.shape[-1]) if weight is None else weight
    return x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps) * weight


class LinearMomentNorm(LinearNorm):
    """A norm whose simplenorm is computed from mean and length, for models that will be quantized.

    ONNX Runtime reads the rows twice and writes them once, where by differences from the mean it reads them
    five times and writes them three times. Behind a convolution, what it multiplies is multiplied there, for
    nothing; mean and squares are then sums with weights, which take that out again.
    """

    # (1, C, 1): a product with a vector (C,) takes ONNX Runtime 20 times as long
    mean_weight: Tensor | None
    square_weight: Tensor | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("mean_weight", None)
        self.register_buffer("square_weight", None)
        self.followed: tuple[nn.Conv2d, ...] = ()  # in a tuple, as it is no part of this one

    def follow(self, convolution: nn.Module) -> None:
        if self.kind == "simplenorm" and self.weight is None:
            self.followed = tuple(part for part in convolution.modules() if isinstance(part, nn.Conv2d))

    def rescale(self, factor: Tensor) -> None:
        if self.followed:
            self._rescale_followed(factor)
        else:
            super().rescale(factor)

    def _rescale_followed(self, factor: Tensor) -> None:
        (conv,) = self.followed
        assert conv.bias is not None
        conv.weight.data = conv.weight.data * factor.view(-1, 1, 1, 1)
        conv.bias.data = conv.bias.data * factor
        if self.mean_weight is None or self.square_weight is None:
            ones = torch.ones(1, len(factor), 1) / len(factor)
            share = unbiased(len(factor))  # in the weights, it is no operator more
            self.mean_weight, self.square_weight = ones * share**0.5, ones * share
        shaped = factor.view(1, -1, 1)
        self.mean_weight, self.square_weight = self.mean_weight / shaped, self.square_weight / shaped.square()

    def _simple_normalize(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, -2) if self.flat else x
        if self.mean_weight is None or self.square_weight is None:
            return normalize_by_moments(rows, self.kind, self.eps, axis=-1).view(x.shape)
        mean = torch.matmul(rows, self.mean_weight).squeeze(-1)
        squares = torch.matmul(rows * rows, self.square_weight).squeeze(-1)
        variance = (squares - mean * mean).clamp(min=0)
        return (rows * reciprocal_root(variance + self.eps, -1)).view(x.shape)


class LinearLayerFactory:
    """The factory of form `linear`."""

    dynamic = False
    norms: type[LinearNorm] = LinearNorm
    axis = -1
    spatial = (1, 2)
    int8_convolutions = False
    resizes_by_products = False

    def stem(self, weight: Tensor, bias: Tensor, *, as_rows: bool) -> nn.Module:
        # a convolution is faster by a fifth, as no patches are copied into rows
        return LinearStem(weight, bias) if as_rows else convolved_stem(weight, bias)

    def convolution(self, conv: nn.Conv2d, padding: Sides | None = None) -> nn.Module:
        return LinearConvolution(copied(conv, padding))

    def dense(self, conv: nn.Conv2d) -> nn.Module:
        return copied(conv)

    def pointwise(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return MatMul(weight, bias)

    def patches(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return LinearPatches(weight, bias)

    def grn(self, weight: Tensor) -> Rescalable:
        return FoldedGRN(weight, self.spatial, self.axis)

    def norm(self, norm: Norm, *, affine: bool) -> Rescalable:
        affines = (norm.weight, norm.bias) if affine else (None, None)
        return self.norms(norm.kind, norm.eps, *affines, flat=not self.dynamic)

    def arrange(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)

    def restore(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)

    def scale_inputs(self, layer: nn.Module, factor: Tensor) -> None:
        matmul, patch = self._rows(layer)
        matmul.weight.data = matmul.weight.data * factor.repeat(patch)[:, None]

    def input_peaks(self, layer: nn.Module) -> Tensor:
        matmul, patch = self._rows(layer)
        return matmul.weight.abs().amax(1).view(patch, -1).amax(0)

    def _rows(self, layer: nn.Module) -> tuple[MatMul, int]:
        """Return the MatMul of a layer, and how often the channels repeat in its rows.

        The rows of patches are (kh, kw, in).
        """
        if isinstance(layer, LinearPatches):
            return layer.matmul, layer.edge**2
        assert isinstance(layer, MatMul)
        return layer, 1


class DynamicLinearLayerFactory(LinearLayerFactory):
    """The factory of form `linear` for images of any size: its patches are convolutions.

    The reshape that makes rows of patches would keep the size of the image in the graph.
    """

    dynamic = True

    def stem(self, weight: Tensor, bias: Tensor, *, as_rows: bool) -> nn.Module:
        return convolved_stem(weight, bias)

    def patches(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return LinearConvolution(convolution(weight, bias, stride=weight.shape[-1]))

    def scale_inputs(self, layer: nn.Module, factor: Tensor) -> None:
        if isinstance(layer, LinearConvolution):
            scale_kernel(layer.conv, factor)
        else:
            super().scale_inputs(layer, factor)

    def input_peaks(self, layer: nn.Module) -> Tensor:
        if isinstance(layer, LinearConvolution):
            return kernel_peaks(layer.conv)
        return super().input_peaks(layer)


class ConvolvedStem(nn.Module):
    """The stem as a convolution: (N, channels, H, W) -> (N, H / patch, W / patch, C)."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y.permute(0, 2, 3, 1)


def convolved_stem(weight: Tensor, bias: Tensor) -> ConvolvedStem:
    """Make a stem of patches, of weight (C, channels, patch, patch) and bias (C,), as a convolution."""
    return ConvolvedStem(convolution(weight, bias, stride=weight.shape[-1]))


class QuantizedLinearLayerFactory(LinearLayerFactory):
    """The factory of form `linear` for models that will be quantized."""

    norms = LinearMomentNorm

    def dense(self, conv: nn.Conv2d) -> nn.Module:
        return Unfolded(conv)
