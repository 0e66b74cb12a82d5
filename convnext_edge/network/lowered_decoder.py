"""UPerNet's decoder with its BatchNorms folded, and without the products that resizing repeats.

Two thirds of a UPerNet's products are those of one 3x3 convolution over all levels, which are resized to the
finest one before: most of its inputs are interpolated between others. Both are linear, so that a 1x1 product
may as well come before the resizing, on a fourth, a 16th and a 64th of the pixels:

    conv3x3(resize(x)) = sum over the nine places of the kernel: shift(resize(conv1x1(x)))

Resizing by rows and columns is a product with a matrix on either side, and a shift is one of its rows:

    sum over dy: U_dy (sum over dx: conv1x1_dy,dx(x) U_dx^T)

where rows of U that would come from beyond the image are zero, as is what the convolution pads. Each sum is
the product with all its matrices side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from convnext_edge.architecture import Architecture
from convnext_edge.network.conv_norm import ConvNormReLU
from convnext_edge.network.foldings import fold_batch_norm, folded_layer
from convnext_edge.network.forms import convolution, copied
from convnext_edge.network.upernet import UPerNet, resize

Size = tuple[int, int]  # rows and columns
FUSION = "fpn_bottleneck"
SHIFTS = (-1, 0, 1)  # of the places in a row of the kernel
WORTH = 2e9  # products that are saved: about 10 ms of FP32, far more than the smaller operators cost


class FoldedUPerNet(UPerNet):
    """A decoder whose layers are convolutions with a bias, and ReLU, for maps of given sizes."""

    def __init__(self, architecture: Architecture, decoder: UPerNet, sizes: Sequence[Size]) -> None:
        """Take the weights of a decoder. sizes: of the maps; without them, no products are saved."""
        with torch.device("meta"):
            super().__init__(architecture)
        for name, layer in decoder.layers():
            made = folded_layer(layer) if isinstance(layer, ConvNormReLU) else copied(cast(nn.Conv2d, layer))
            self.set_submodule(name, made)
        self.split: SplitFusion | None = None
        fusion = cast(ConvNormReLU, decoder.fpn_bottleneck)
        if saved_products(fusion, sizes) >= WORTH:
            self.split = SplitFusion(fusion, sizes)
            del self.fpn_bottleneck

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        if self.split is None:
            return super().fuse(levels)
        y: Tensor = self.split(levels)
        return y

    def pieces_for(self, name: str) -> int:
        """Return as how many images a layer takes one."""
        return 1

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Return name and module of each layer with weights, in the order in which they run."""
        found: list[tuple[str, nn.Module]] = []
        for name in self.names:
            if name == FUSION and self.split is not None:
                found += self.split.layers()
            else:
                found.append((name, self.get_submodule(name)))
        return found


def map_sizes(architecture: Architecture, image: Size) -> list[Size]:
    """Return the size of the map of each stage."""
    return [(image[0] // stride, image[1] // stride) for stride in architecture.strides]


def saved_products(fusion: ConvNormReLU, sizes: Sequence[Size]) -> int:
    """Return how many multiply-adds `SplitFusion` has less, for maps of these sizes."""
    dim, kernel = fusion.conv.out_channels, fusion.conv.kernel_size[0]
    pixels = [rows * columns for rows, columns in sizes]
    return sum(pixels[0] - coarse for coarse in pixels[1:]) * dim**2 * kernel**2


class SplitFusion(nn.Module):
    """The convolution over all levels, with the coarser ones multiplied before they are resized."""

    down: Tensor

    def __init__(self, fusion: ConvNormReLU, sizes: Sequence[Size]) -> None:
        super().__init__()
        weight, bias = fold_batch_norm(fusion)
        first, *others = weight.chunk(len(sizes), dim=1)  # (D, D, 3, 3) of each level
        self.finest = convolution(first, bias, padding=1)
        self.coarser = nn.ModuleList(
            nn.ModuleList(column(part) for part in whole.unbind(3)) for whole in others
        )
        (height, width), *coarser = sizes
        # four axes, as a product with a matrix of two would be a layer with weights
        down = [resizing(rows, height) for rows, _ in coarser]
        self.register_buffer("down", torch.cat(down, dim=1)[None, None])  # (1, 1, H, sum of 3 * h)
        self.columns = [f"across{level}" for level in range(len(coarser))]
        for name, (_, columns) in zip(self.columns, coarser, strict=True):
            self.register_buffer(name, resizing(columns, width).T[None, None])  # (1, 1, 3 * w, W)

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield name and module of each layer with weights, in the order in which they run."""
        yield FUSION, self.finest
        for level, products in enumerate(self.products(), 1):
            yield from ((f"{FUSION}.{level}.{place}", product) for place, product in enumerate(products))

    def products(self) -> list[Sequence[nn.Module]]:
        """Return of each coarser level the 1x1 convolution of each column of the kernel."""
        return [list(cast(nn.ModuleList, convolutions)) for convolutions in self.coarser]

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        y: Tensor = self.finest(levels[0])
        parts: list[Tensor] = []
        for x, products, name in zip(levels[1:], self.products(), self.columns, strict=True):
            made = torch.cat([product(x) for product in products], dim=3)  # (N, 3 * D, h, 3 * w)
            wide = torch.matmul(made, getattr(self, name))  # (N, 3 * D, h, W)
            parts += wide.chunk(len(SHIFTS), dim=1)
        tall = torch.cat(parts, dim=2)  # (N, D, sum of 3 * h, W)
        return torch.relu(y + torch.matmul(self.down, tall))


def resizing(before: int, after: int) -> Tensor:
    """Return what resizes an edge and shifts it, one matrix for each place beside the other.

    The result is (after, 3 * before).
    """
    # what becomes of a row with a one at each place, (after, before)
    plain = resize(torch.eye(before).view(1, before, 1, before), (1, after))[0, :, 0].T
    return torch.cat([shifted(plain, shift) for shift in SHIFTS], dim=1)


def column(weight: Tensor) -> nn.Conv2d:
    """Return the 1x1 convolution to (N, 3 * D, H, W) of a column of a kernel, (D, D, 3)."""
    stacked = weight.permute(2, 0, 1).flatten(0, 1)[:, :, None, None]
    return convolution(stacked, torch.zeros(len(stacked)))


def shifted(matrix: Tensor, shift: int) -> Tensor:
    """Return (rows, columns) with each row in place of the one `shift` before; those without one are zero."""
    result = torch.zeros_like(matrix)
    count = len(matrix) - abs(shift)
    start, source = max(-shift, 0), max(shift, 0)
    result[start : start + count] = matrix[source : source + count]
    return result
