"""UPerNet's decoder with its BatchNorms folded, and without the products that resizing repeats.

Two thirds of a UPerNet's products are those of one 3x3 convolution over all levels, which are resized to the
finest one before: most of its inputs are interpolated between others. Both are linear, so that a 1x1 product
may as well come before the resizing, on a fourth, a 16th and a 64th of the pixels:

    conv3x3(resize(x)) = sum over the nine places of the kernel: shift(resize(conv1x1(x)))

Resizing by rows and columns is a product with a matrix on either side, and a shift is one of its rows:

    sum over dy: U_dy (sum over dx: conv1x1_dy,dx(x) U_dx^T)

where rows of U that would come from beyond the image are zero, as is what the convolution pads. Each sum is
the product with all its matrices side by side. With the channels last, both are products from the left, and
no map changes its layout in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from convnext_edge.architecture import Architecture
from convnext_edge.network.banded import BandedProduct, Enlarged, resizing, shifted
from convnext_edge.network.conv_norm import ConvNormReLU
from convnext_edge.network.foldings import Dense, fold_batch_norm, folded_layer
from convnext_edge.network.forms import LayerFactory, MatMul, convolution, copied
from convnext_edge.network.upernet import Size, UPerNet

FUSION = "fpn_bottleneck"
SHIFTS = (-1, 0, 1)  # of the places in a row of the kernel
WORTH = 2e9  # products that are saved: about 10 ms of FP32, far more than the smaller operators cost
LARGE = 4_000_000  # logits of an image: no longer in a cache when what resizing wrote is rearranged


class FoldedUPerNet(UPerNet):
    """A decoder whose layers are convolutions with a bias, and ReLU, for maps of given sizes."""

    def __init__(
        self,
        architecture: Architecture,
        decoder: UPerNet,
        image: Size | None = None,
        factory: LayerFactory | None = None,
    ) -> None:
        """Take the weights of a decoder.

        image: its size; without it, no products are saved. factory: of the form; without it, convolutions
        and resizing are those of the reference.
        """
        with torch.device("meta"):
            super().__init__(architecture)
        dense = factory.dense if factory else copied
        for name, layer in decoder.layers():
            self.set_submodule(name, folded_layer(layer, dense))
        sizes = map_sizes(architecture, image) if image else []
        self.split: SplitFusion | None = None
        self.enlarged: Enlarged | None = None
        fusion = cast(ConvNormReLU, decoder.fpn_bottleneck)
        if saved_products(fusion, sizes) >= WORTH:
            self.split = SplitFusion(fusion, sizes, dense)
            del self.fpn_bottleneck
        by_products = factory is not None and factory.resizes_by_products
        if by_products and image and image[0] * image[1] * architecture.classes >= LARGE:
            self.enlarged = Enlarged(sizes[0], image)

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        if self.split is None:
            return super().fuse(levels)
        y: Tensor = self.split(levels)
        return y

    def enlarge(self, logits: Tensor, size: Size) -> Tensor:
        if self.enlarged is None:
            return super().enlarge(logits, size)
        y: Tensor = self.enlarged(logits)
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
    """Return the size of the map of each stage, the finest first."""
    return [(image[0] // stride, image[1] // stride) for stride in architecture.strides]


def saved_products(fusion: ConvNormReLU, sizes: Sequence[Size]) -> int:
    """Return how many multiply-adds `SplitFusion` has less, for maps of these sizes."""
    dim, kernel = fusion.conv.out_channels, fusion.conv.kernel_size[0]
    pixels = [rows * columns for rows, columns in sizes]
    return sum(pixels[0] - coarse for coarse in pixels[1:]) * dim**2 * kernel**2


class SplitFusion(nn.Module):
    """The convolution over all levels, with the coarser ones multiplied before they are resized."""

    def __init__(self, fusion: ConvNormReLU, sizes: Sequence[Size], dense: Dense) -> None:
        super().__init__()
        weight, bias = fold_batch_norm(fusion)
        first, *others = weight.chunk(len(sizes), dim=1)  # (D, D, 3, 3) of each level
        self.finest = dense(convolution(first, bias, padding=1))
        self.coarser = nn.ModuleList(nn.ModuleList(row(part) for part in whole.unbind(2)) for whole in others)
        (self.height, self.width), *coarser = sizes
        down = [shift for rows, _ in coarser for shift in shifts(rows, self.height)]
        self.down = BandedProduct(torch.cat(down, dim=1))  # (H, sum of 3 * h)
        # the places of a row of the kernel are together for each column of the map, (W, 3 * w)
        across = (torch.stack(shifts(columns, self.width), dim=2).flatten(1) for _, columns in coarser)
        self.across = nn.ModuleList(BandedProduct(matrix) for matrix in across)

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield name and module of each layer with weights, in the order in which they run."""
        yield FUSION, self.finest
        for level, products in enumerate(self.products(), 1):
            yield from ((f"{FUSION}.{level}.{place}", product) for place, product in enumerate(products))

    def products(self) -> list[Sequence[nn.Module]]:
        """Return of each coarser level the product for each row of the kernel."""
        return [list(cast(nn.ModuleList, products)) for products in self.coarser]

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        y: Tensor = self.finest(levels[0])
        dim, parts = y.shape[1], []
        for x, products, across in zip(levels[1:], self.products(), self.across, strict=True):
            pixels, (height, width) = x.permute(0, 2, 3, 1), x.shape[2:]  # (N, h, w, D)
            for product in products:
                wide = across(product(pixels).reshape(-1, height, len(SHIFTS) * width, dim))  # (N, h, W, D)
                parts.append(wide.reshape(-1, 1, height, self.width * dim))
        tall: Tensor = self.down(torch.cat(parts, dim=2))  # from the sum of 3 * h to H rows
        return torch.relu(y + tall.reshape(-1, self.height, self.width, dim).permute(0, 3, 1, 2))


def shifts(before: int, after: int) -> list[Tensor]:
    """Return what resizes an edge and shifts it, a matrix (after, before) for each place of the kernel."""
    plain = resizing(before, after)
    return [shifted(plain, shift) for shift in SHIFTS]


def row(weight: Tensor) -> MatMul:
    """Return the product (..., D) to (..., 3 * D) with a row of a kernel, (D, D, 3)."""
    stacked = weight.permute(2, 0, 1).flatten(0, 1)
    return MatMul(stacked, torch.zeros(len(stacked)))
