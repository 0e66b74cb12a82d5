"""UPerNet's decoder with its BatchNorms folded, and without the products that resizing repeats.

Two thirds of a UPerNet's products are those of one 3x3 convolution over all levels, which are resized to the
finest one before: most of its inputs are interpolated between others. Both are linear, so that a 1x1 product
may as well come before the resizing, on a fourth, a 16th and a 64th of the pixels:

    conv3x3(resize(x)) = sum over the nine places of the kernel: shift(resize(conv1x1(x)))

Resizing by rows and columns is a product with a matrix on either side, and a shift is one of its rows:

    sum over dy: U_dy (sum over dx: conv1x1_dy,dx(x) U_dx^T)

where rows of U that would come from beyond the image are zero, as is what the convolution pads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from convnext_edge.architecture import Architecture
from convnext_edge.network.foldings import fold_batch_norm
from convnext_edge.network.forms import convolution, copied
from convnext_edge.network.upernet import ConvNormReLU, UPerNet, resize

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


def folded_layer(layer: ConvNormReLU) -> nn.Sequential:
    """Return a convolution with the BatchNorm behind it in its weights, and ReLU."""
    padding = layer.conv.kernel_size[0] // 2
    return nn.Sequential(convolution(*fold_batch_norm(layer), padding=padding), nn.ReLU())


class SplitFusion(nn.Module):
    """The convolution over all levels, with the coarser ones multiplied before they are resized."""

    def __init__(self, fusion: ConvNormReLU, sizes: Sequence[Size]) -> None:
        super().__init__()
        weight, bias = fold_batch_norm(fusion)
        first, *others = weight.chunk(len(sizes), dim=1)  # (D, D, 3, 3) of each level
        self.finest = convolution(first, bias, padding=1)
        self.coarser = nn.ModuleList(
            nn.ModuleList(column(part) for part in whole.unbind(3)) for whole in others
        )
        self.rows = nn.ModuleList(Resizing(size[0], sizes[0][0]) for size in sizes[1:])
        self.columns = nn.ModuleList(Resizing(size[1], sizes[0][1]) for size in sizes[1:])

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
        for level, products in enumerate(self.products()):
            made = (product(levels[level + 1]) for product in products)  # each (N, 3 * D, h, w)
            wide = sum_of(cast(Resizing, self.columns[level]).across(made))  # (N, 3 * D, h, W)
            down = cast(Resizing, self.rows[level]).down(wide.chunk(len(SHIFTS), dim=1))
            y = y + sum_of(down)  # (N, D, H, W)
        return torch.relu(y)


class Resizing(nn.Module):
    """Matrices that resize the edge of a map and shift it by a pixel, for each of the three places."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        # what becomes of a row with a one at each place, (before, after)
        plain = resize(torch.eye(before).view(1, before, 1, before), (1, after))[0, :, 0].T
        self.names = [f"by{place}" for place in range(len(SHIFTS))]
        for name, shift in zip(self.names, SHIFTS, strict=True):
            self.register_buffer(name, shifted(plain, shift)[None, None])

    def across(self, maps: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the map (N, C, H, before) of each place with its columns resized and shifted."""
        return (torch.matmul(x, matrix.transpose(2, 3)) for x, matrix in zip(maps, self._all(), strict=True))

    def down(self, maps: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the map (N, C, before, W) of each place with its rows resized and shifted."""
        return (torch.matmul(matrix, x) for x, matrix in zip(maps, self._all(), strict=True))

    def _all(self) -> list[Tensor]:
        """Return the matrices (1, 1, after, before): four axes, as those of weights have two."""
        return [getattr(self, name) for name in self.names]


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


def sum_of(terms: Iterator[Tensor]) -> Tensor:
    """Return the sum of tensors."""
    total = next(terms)
    for term in terms:
        total = total + term
    return total
