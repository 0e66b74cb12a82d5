"""The form `rows`, for OpenVINO on ARM64: as `linear`, with pixels as rows (N, H * W, C) around norms.

OpenVINO's plugin for ARM64 has a fast transpose of an image in (N, C, H, W) and of rows, but walks through
the output of a depthwise convolution value by value, at 100 instructions each; and it has an operator for
the norm of rows, where it writes one over (N, H, W, C) as a chain of nine.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.network.forms import Sides, copied
from convnext_edge.network.linear_form import LinearConvolution, LinearLayerFactory, LinearNorm, LinearStem

MAP = 4  # axes of a map, (N, H, W, C)


class RowConvolution(LinearConvolution):
    """A convolution of (N, H, W, C), between two transposes, the second one of rows."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x.permute(0, 3, 1, 2))  # (N, C, H, W)
        n, channels, height, width = y.shape
        return y.flatten(2).transpose(1, 2).reshape(n, height, width, channels)


class RowNorm(LinearNorm):
    """A norm over the last axis; a LayerNorm without bias is an InstanceNormalization of rows (N, H * W, C).

    Both ONNX Runtime and OpenVINO execute it in less than half the instructions on ARM64.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.kind != "layernorm" or self.bias is not None or x.ndim != MAP:
            return super().forward(x)
        y = F.instance_norm(x.flatten(1, 2), eps=self.eps).reshape(x.shape)
        return y if self.weight is None else y * self.weight


class RowsLayerFactory(LinearLayerFactory):
    """The factory of form `rows`."""

    norms = RowNorm

    def stem(self, weight: Tensor, bias: Tensor, *, as_rows: bool) -> nn.Module:
        return LinearStem(weight, bias)

    def convolution(self, conv: nn.Conv2d, padding: Sides | None = None) -> nn.Module:
        return RowConvolution(copied(conv, padding))
