"""The form `tiled`, for ONNX Runtime on ARM64: as `rows`, but for depthwise convolutions.

ONNX Runtime's packages for ARM64 lack its blocked convolutions. A depthwise convolution there first copies
the window of each pixel, 49 values for 7x7, which is 18 times as many instructions as the products. It
copies nothing where the kernel is as wide as the image, without padding. So the map is cut into strips as
wide as a kernel that gives several columns at once, one below the other, with rows of zeros between them:

    W columns -> strips of 4 columns and their neighbours, (C, rows of all strips, 10)
    kernel (C, 1, 7, 7) -> (4 C, 1, 7, 10): the same kernel, shifted by 0, 1, 2 and 3 columns

Strips are picked and put back by Gather, in (N, pixels, C), where a pixel's channels lie together. What is
multiplied by the zeros of a wide kernel adds nothing: the answers are those of `linear`.
https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/mlas/lib/convolve.cpp (MlasConvPrepare)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.network.forms import Sides, convolution
from convnext_edge.network.rows_form import RowsLayerFactory

COLUMNS = 4  # of the output in a strip: more would multiply by more zeros, and make the kernels larger


class TiledConvolution(nn.Module):
    """A depthwise convolution of (N, H, W, C), with zeros around it that keep the size."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        channels, edge = conv.out_channels, conv.kernel_size[0]
        wide = conv.weight.new_zeros(channels, COLUMNS, edge, COLUMNS + edge - 1)
        for column in range(COLUMNS):
            wide[:, column, :, column : column + edge] = conv.weight.detach()[:, 0]
        bias = conv.bias.detach().repeat_interleave(COLUMNS)
        self.conv = convolution(wide.flatten(0, 1).unsqueeze(1), bias, groups=channels)
        self.edge = edge

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, channels = x.shape
        picked, kept = strips(height, width, self.edge)
        pixels = F.pad(x.flatten(1, 2), (0, 0, 0, 1))  # (N, H * W + 1, C), the last one zeros
        rows = pixels.index_select(1, picked.flatten()).transpose(1, 2)
        y: Tensor = self.conv(rows.reshape(n, channels, *picked.shape))  # (N, C * COLUMNS, rows, 1)
        columns = y.reshape(n, channels, -1).transpose(1, 2)  # (N, COLUMNS * rows, C)
        return columns.index_select(1, kept).reshape(x.shape)


def strips(height: int, width: int, edge: int) -> tuple[Tensor, Tensor]:
    """Return which pixels the strips hold, and which values of the convolution of the strips are pixels.

    The first is (rows, COLUMNS + edge - 1), where height * width stands for a pixel of zeros; the second is
    (height * width), of values in the order (COLUMNS, rows that the kernel fits into).
    """
    border = edge // 2
    count = -(-width // COLUMNS)
    padded = torch.full((height, count * COLUMNS + 2 * border), height * width)
    padded[:, border : border + width] = torch.arange(height * width).view(height, width)
    pieces = padded.unfold(1, COLUMNS + 2 * border, COLUMNS).transpose(0, 1)  # (count, height, columns)
    pieces = F.pad(pieces, (0, 0, 0, border), value=height * width)  # rows of zeros below each
    picked = F.pad(pieces.flatten(0, 1), (0, 0, border, 0), value=height * width)
    rows = len(picked) - 2 * border
    columns, lines = torch.arange(width), torch.arange(height)
    first = columns % COLUMNS * rows + columns // COLUMNS * (height + border)
    return picked, (first + lines[:, None]).flatten()


class TiledLayerFactory(RowsLayerFactory):
    """The factory of form `tiled`."""

    def convolution(self, conv: nn.Conv2d, padding: Sides | None = None) -> nn.Module:
        if padding is None and is_tileable(conv):
            return TiledConvolution(conv)
        return super().convolution(conv, padding)


def is_tileable(conv: nn.Conv2d) -> bool:
    """Return whether a convolution has a channel in each group, and as many pixels out as in."""
    edge = conv.kernel_size[0]
    same = (edge, edge), (1, 1), (1, 1), (edge // 2, edge // 2)
    found = conv.kernel_size, conv.stride, conv.dilation, conv.padding
    depthwise = conv.groups == conv.in_channels == conv.out_channels
    return depthwise and edge % 2 == 1 and conv.bias is not None and found == same
