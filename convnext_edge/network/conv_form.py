"""The form `conv`, for OpenVINO: convolutions of (N, C, H, W), and norms over axis 1.

Pointwise layers are 1x1 convolutions. OpenVINO runs an INT8 1x1 convolution in its fast kernel and fuses
bias, GELU and the residual sum into it; an INT8 MatMul falls to a slow one. A transpose around LayerNorm
would cost 12 %.
"""

from __future__ import annotations

from torch import Tensor, nn

from convnext_edge.architecture import STRIDE, NormKind
from convnext_edge.network.forms import (
    FoldedGRN,
    Rescalable,
    Sides,
    convolution,
    copied,
    kernel_peaks,
    scale_kernel,
)
from convnext_edge.network.norms import Norm, normalize, normalize_by_moments


class ConvNorm(Rescalable):
    """A norm over axis 1 of (N, C, H, W), without a transpose; its weight and bias are optional."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, kind: NormKind, eps: float, weight: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        self.kind, self.eps = kind, eps
        self.register_buffer("weight", None if weight is None else weight.detach().view(1, -1, 1, 1).clone())
        self.register_buffer("bias", None if bias is None else bias.detach().view(1, -1, 1, 1).clone())

    def rescale(self, factor: Tensor) -> None:
        shaped = factor.view(1, -1, 1, 1)
        self.weight = shaped if self.weight is None else self.weight * shaped

    def forward(self, x: Tensor) -> Tensor:
        y = self.normalized(x)
        y = y if self.weight is None else y * self.weight
        return y if self.bias is None else y + self.bias

    def normalized(self, x: Tensor) -> Tensor:
        """Return `x` normalized, without weight and bias."""
        return normalize(x, self.kind, self.eps, axis=1)


class MomentNorm(ConvNorm):
    """A norm from the mean and the length of pixels, for models that will be quantized.

    It reads its input three times and writes it once: OpenVINO makes one pass of ReduceMean, one of ReduceL2,
    and one of all that is done to each value. By differences from the mean it takes five, and writes three.
    """

    def normalized(self, x: Tensor) -> Tensor:
        return normalize_by_moments(x, self.kind, self.eps, axis=1)


class ConvLayerFactory:
    """The factory of form `conv`."""

    norms: type[ConvNorm] = ConvNorm
    axis = 1
    spatial = (2, 3)
    int8_convolutions = True
    resizes_by_products = True

    def stem(self, weight: Tensor, bias: Tensor, *, as_rows: bool) -> nn.Module:
        return convolution(weight, bias, stride=weight.shape[-1])

    def convolution(self, conv: nn.Conv2d, padding: Sides | None = None) -> nn.Module:
        return copied(conv, padding)

    def dense(self, conv: nn.Conv2d) -> nn.Module:
        return copied(conv)

    def pointwise(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return convolution(weight[:, :, None, None], bias)

    def patches(self, weight: Tensor, bias: Tensor) -> nn.Module:
        return convolution(weight, bias, stride=STRIDE)

    def grn(self, weight: Tensor) -> Rescalable:
        return FoldedGRN(weight.view(1, -1, 1, 1), self.spatial, self.axis)

    def norm(self, norm: Norm, *, affine: bool) -> Rescalable:
        return self.norms(norm.kind, norm.eps, *((norm.weight, norm.bias) if affine else (None, None)))

    def arrange(self, x: Tensor) -> Tensor:
        return x

    def restore(self, x: Tensor) -> Tensor:
        return x

    def scale_inputs(self, layer: nn.Module, factor: Tensor) -> None:
        scale_kernel(layer, factor)

    def input_peaks(self, layer: nn.Module) -> Tensor:
        return kernel_peaks(layer)


class QuantizedConvLayerFactory(ConvLayerFactory):
    """The factory of form `conv` for models that will be quantized."""

    norms = MomentNorm
