"""What a form of a lowered ConvNeXt must offer, and the layers that all forms share.

A form decides the layout of the tensors between the layers and the operator behind each layer: see
`conv_form` and `linear_form`. Weights come in as PyTorch keeps them: linear (out, in), convolution
(out, in / groups, kh, kw).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from convnext_edge.network.norms import GRN_EPS, Norm

Sides = tuple[int, int, int, int]  # left, right, top, bottom


class LayerFactory(Protocol):
    """A form must offer these methods, each of which makes a layer or changes one that it made.

    The stem maps (N, channels, H, W) to the form's layout; all other layers map that layout to itself.
    """

    axis: int  # of the channels in the form's layout
    spatial: tuple[int, int]  # axes of rows and columns in the form's layout
    int8_convolutions: bool  # whether its runtimes have convolutions of INT8 that give floats
    resizes_by_products: bool  # whether its runtimes resize large maps faster so than by their own operator

    def stem(self, weight: Tensor, bias: Tensor, *, as_rows: bool) -> nn.Module:
        """Make a stem of patches.

        as_rows: whether it must multiply rows of patches, where the form may choose.
        """
        ...

    def convolution(self, conv: nn.Conv2d, padding: Sides | None = None) -> nn.Module: ...
    def dense(self, conv: nn.Conv2d) -> nn.Module:
        """Make a convolution of (N, C, H, W), of a decoder, to a map of that size; it keeps this layout."""
        ...

    def pointwise(self, weight: Tensor, bias: Tensor) -> nn.Module: ...
    def patches(self, weight: Tensor, bias: Tensor) -> nn.Module: ...
    def grn(self, weight: Tensor) -> Rescalable: ...

    def norm(self, norm: Norm, *, affine: bool) -> Rescalable:
        """Make a norm as `norm`, with its weight and bias where `affine`."""
        ...

    def arrange(self, x: Tensor) -> Tensor:
        """Bring (N, C, H, W) into the form's layout."""
        ...

    def restore(self, x: Tensor) -> Tensor:
        """Bring the form's layout into (N, C, H, W)."""
        ...

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

    def follow(self, convolution: nn.Module) -> None:
        """Be told the convolution whose output nothing else takes: where that is cheaper, it is rescaled."""


class MatMul(nn.Module):
    """A linear layer whose weight is stored (in, out), as ONNX's MatMul takes it."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().t().contiguous())
        self.bias = nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight) + self.bias


Multiplication = nn.Conv2d | MatMul  # every layer of a form holds exactly one


def convolution(
    weight: Tensor,
    bias: Tensor,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Make a Conv2d that holds its own copy of `weight` (out, in / groups, kh, kw) and of `bias` (out,)."""
    out, width, height, breadth = weight.shape
    conv = nn.Conv2d(
        width * groups, out, (height, breadth), stride, padding, dilation, groups=groups, device="meta"
    )
    conv.load_state_dict({"weight": weight.detach().clone(), "bias": bias.detach().clone()}, assign=True)
    return conv


def copied(conv: nn.Conv2d, padding: Sides | None = None) -> nn.Module:
    """Copy a convolution, with a bias of zeros where it has none.

    padding: left, right, top and bottom zeros to put before it.
    """
    assert isinstance(conv.padding, tuple)
    stride, dilation, groups = conv.stride[0], conv.dilation[0], conv.groups
    own = (conv.padding[0], conv.padding[1])
    bias = bias_of(conv)
    copy = convolution(conv.weight, bias, stride=stride, padding=own, dilation=dilation, groups=groups)
    return copy if padding is None else nn.Sequential(nn.ZeroPad2d(padding), copy)


def scale_kernel(conv: nn.Module, factor: Tensor) -> None:
    """Multiply the weight of a convolution by `factor` (C,) along its input channels."""
    assert isinstance(conv, nn.Conv2d)
    conv.weight.data = conv.weight.data * factor.view(1, -1, 1, 1)


def kernel_peaks(conv: nn.Module) -> Tensor:
    """Return the largest |weight| of each input channel of a convolution, (C,)."""
    assert isinstance(conv, nn.Conv2d)
    return conv.weight.abs().amax((0, 2, 3))


def bias_of(layer: nn.Conv2d | nn.Linear) -> Tensor:
    """Return the bias (out,) of a layer, zeros where it has none."""
    return torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias


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
        relative = norms / (norms.mean(dim=self.axis, keepdim=True) + GRN_EPS)
        return x * (self.scale + self.weight * relative)
