"""Convolutions as products of matrices, for runtimes that have no INT8 convolution that gives floats."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.network.forms import MatMul, bias_of


class Unfolded(nn.Module):
    """A convolution of (N, C, H, W) to a map of that size: what is around each pixel is a row, then a MatMul.

    The rows are K * K times as large as the map. `onnx_graph.unfolding` has them made of codes of 8 bits.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.edge = conv.kernel_size[0]
        assert conv.groups == 1
        assert conv.padding == (self.edge // 2, self.edge // 2)
        assert conv.stride == conv.dilation == (1, 1)
        self.matmul = MatMul(conv.weight.permute(0, 2, 3, 1).flatten(1), bias_of(conv))  # (out, K * K * in)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.matmul(self.rows(x.permute(0, 2, 3, 1)))  # (N, H, W, out)
        # Not by a transpose of four axes: ONNX Runtime's optimizer moves it behind a Resize, whose sizes of
        # two axes it then permutes as if they were of four, and refuses the graph.
        return y.flatten(1, 2).transpose(1, 2).reshape(-1, y.shape[3], *x.shape[2:])

    def rows(self, x: Tensor) -> Tensor:
        """Return what is around each pixel of (N, H, W, C), zeros beyond the map, (N, H, W, K * K * C)."""
        if self.edge == 1:
            return x
        height, width = x.shape[1], x.shape[2]
        beyond = self.edge // 2
        padded = F.pad(x, (0, 0, beyond, beyond, beyond, beyond))
        places = range(self.edge)
        return torch.cat([padded[:, i : i + height, j : j + width] for i in places for j in places], dim=3)
