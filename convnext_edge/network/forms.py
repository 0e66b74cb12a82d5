"""Factories that make the layers of a lowered ConvNeXt, one for each form.

A form decides the layout of the tensors between the layers and the operator behind each layer. Weights
come in as PyTorch keeps them: linear (out, in), convolution (out, in / groups, kh, kw).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.network.architecture import STRIDE
from convnext_edge.network.convnext import EPS, GRN, ChannelNorm


class LayerFactory(Protocol):
    """A form must offer these methods, each of which makes a layer or changes one that it made.

    The stem maps (N, 3, H, W) to the form's layout; all other layers map that layout to itself.
    """

    axis: int  # of the channels in the form's layout
    spatial: tuple[int, int]  # axes of rows and columns in the form's layout

    def stem(self, weight: Tensor, bias: Tensor) -> nn.Module: ...
    def affine_norm(self, norm: ChannelNorm) -> nn.Module: ...
    def depthwise(self, conv: nn.Conv2d) -> nn.Module: ...
    def pointwise(self, weight: Tensor, bias: Tensor) -> nn.Module: ...
    def patches(self, weight: Tensor, bias: Tensor) -> nn.Module: ...
    def grn(self, grn: GRN) -> Rescalable: ...
    def norm(self, eps: float) -> Rescalable: ...

    def scale_inputs(self, layer: nn.Module, factor: Tensor) -> None:
        """Multiply the weights by `factor` (C,) along their input channels."""
        ...

    def input_peaks(self, layer: nn.Module) -> Tensor:
        """Return the largest |weight| of each input channel, (C,)."""
        ...


class Rescalable(nn.Module, ABC):
    """A module whose output channels can be multiplied by constants at no cost."""

    @abstractmethod
    def rescale(self, factor: Tensor) -> None:
        """Multiply the output by `factor` (C,) from now on."""


def convolution(
    weight: Tensor, bias: Tensor, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Conv2d:
    """Make a Conv2d that holds its own copy of `weight` (out, in / groups, kh, kw) and of `bias` (out,)."""
    out, width, height, breadth = weight.shape
    conv = nn.Conv2d(width * groups, out, (height, breadth), stride, padding, groups=groups, device="meta")
    conv.load_state_dict({"weight": weight.detach().clone(), "bias": bias.detach().clone()}, assign=True)
    return conv


def depthwise(conv: nn.Conv2d) -> nn.Conv2d:
    """Copy a depthwise convolution whose padding keeps H and W."""
    assert conv.bias is not None
    return convolution(conv.weight, conv.bias, padding=conv.kernel_size[0] // 2, groups=conv.groups)


class FoldedGRN(Rescalable):
    """GRN whose bias went into the layer behind it: x * (scale + weight * relative), scale 1 at first."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, spatial: tuple[int, int], axis: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("scale", torch.ones_like(weight))
        self.spatial, self.axis = spatial, axis

    def rescale(self, factor: Tensor) -> None:
        shaped = factor.view(self.weight.shape)
        self.weight, self.scale = self.weight * shaped, self.scale * shaped

    def forward(self, x: Tensor) -> Tensor:
        norms = torch.sqrt((x * x).sum(dim=self.spatial, keepdim=True))
        relative = norms / (norms.mean(dim=self.axis, keepdim=True) + EPS)
        return x * (self.scale + self.weight * relative)


# --- conv: OpenVINO ------------------------------------------------------------------------------


class ConvNorm(Rescalable):
    """LayerNorm over axis 1 of (N, C, H, W), without a transpose; its affine part is optional."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, eps: float, weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", None if weight is None else weight.detach().view(1, -1, 1, 1).clone())
        self.register_buffer("bias", None if bias is None else bias.detach().view(1, -1, 1, 1).clone())

    def rescale(self, factor: Tensor) -> None:
        shaped = factor.view(1, -1, 1, 1)
        self.weight = shaped if self.weight is None else self.weight * shaped

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        variance = (centred * centred).mean(dim=1, keepdim=True)
        y = centred / torch.sqrt(variance + self.eps)
        y = y if self.weight is None else y * self.weight
        return y if self.bias is None else y + self.bias


class ConvLayerFactory:
    """The factory of form `conv`: convolutions of (N, C, H, W), and LayerNorm over axis 1.

    Pointwise layers are 1x1 convolutions. OpenVINO runs an INT8 1x1 convolution in its fast kernel and
    fuses bias, GELU and the residual sum into it; an INT8 MatMul falls to a slow one. A transpose around
    LayerNorm would cost 12 %.
    """

    axis = 1
    spatial = (2, 3)

    def stem(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return convolution(weight, bias, stride=weight.shape[-1])

    def affine_norm(self, norm: ChannelNorm) -> nn.Module:
        return ConvNorm(norm.eps, norm.weight, norm.bias)

    def depthwise(self, conv: nn.Conv2d) -> nn.Module:
        return depthwise(conv)

    def pointwise(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return convolution(weight[:, :, None, None], bias)

    def patches(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return convolution(weight, bias, stride=STRIDE)

    def grn(self, grn: GRN) -> Rescalable:
        return FoldedGRN(grn.weight.view(1, -1, 1, 1), self.spatial, self.axis)

    def norm(self, eps: float) -> Rescalable:
        return ConvNorm(eps)

    def scale_inputs(self, layer: nn.Module, factor: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        layer.weight.data = layer.weight.data * factor.view(1, -1, 1, 1)

    def input_peaks(self, layer: nn.Module) -> Tensor:
        assert isinstance(layer, nn.Conv2d)
        return layer.weight.abs().amax((0, 2, 3))


# --- linear: ONNX Runtime ------------------------------------------------------------------------


class MatMul(nn.Module):
    """A linear layer whose weight is stored (in, out), as ONNX's MatMul takes it."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().t().contiguous())
        self.bias = nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight) + self.bias


Multiplication = nn.Conv2d | MatMul  # every layer of a form holds exactly one


class LinearPatches(nn.Module):
    """A convolution whose stride is its kernel: patches become rows, then a MatMul.

    Takes (N, H, W, C), returns (N, H / stride, W / stride, out).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.edge = weight.shape[-1]
        self.matmul = MatMul(weight.permute(0, 2, 3, 1).flatten(1), bias)  # (out, kh * kw * in)

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        x = x.reshape(n, h // self.edge, self.edge, w // self.edge, self.edge, c).permute(0, 1, 3, 2, 4, 5)
        y: Tensor = self.matmul(x.reshape(n, h // self.edge, w // self.edge, self.edge**2 * c))
        return y


class LinearDepthwise(nn.Module):
    """A depthwise convolution of (N, H, W, C), between two transposes."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = depthwise(conv)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x.permute(0, 3, 1, 2))  # (N, H, W, C) -> (N, C, H, W)
        return y.permute(0, 2, 3, 1)


class LinearStem(nn.Module):
    """The stem as a MatMul over patches: takes (N, 3, H, W), returns (N, H / patch, W / patch, C)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.patches = LinearPatches(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.patches(x.permute(0, 2, 3, 1))  # (N, 3, H, W) -> (N, H, W, 3)
        return y


class LinearNorm(Rescalable):
    """LayerNorm over the last axis; a scale costs nothing, as ONNX's operator has one anyway."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, eps: float, weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", None if weight is None else weight.detach().clone())
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def rescale(self, factor: Tensor) -> None:
        self.weight = factor if self.weight is None else self.weight * factor

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class LinearLayerFactory:
    """The factory of form `linear`: (N, H, W, C) between the layers, each but the depthwise one a MatMul.

    ONNX Runtime fuses DequantizeLinear, MatMul and bias into one INT8 operator only where the weight is
    stored (in, out); a transpose between the two defeats it and is three times slower.
    """

    axis = -1
    spatial = (1, 2)

    def stem(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return LinearStem(weight, bias)

    def affine_norm(self, norm: ChannelNorm) -> nn.Module:
        return LinearNorm(norm.eps, norm.weight, norm.bias)

    def depthwise(self, conv: nn.Conv2d) -> nn.Module:
        return LinearDepthwise(conv)

    def pointwise(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return MatMul(weight, bias)

    def patches(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return LinearPatches(weight, bias)

    def grn(self, grn: GRN) -> Rescalable:
        return FoldedGRN(grn.weight, self.spatial, self.axis)

    def norm(self, eps: float) -> Rescalable:
        return LinearNorm(eps)

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


LAYER_FACTORIES: dict[str, LayerFactory] = {"conv": ConvLayerFactory(), "linear": LinearLayerFactory()}
