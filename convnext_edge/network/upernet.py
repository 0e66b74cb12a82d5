"""UPerNet's decoder: from the maps of all stages to the logits of each pixel.

"Unified Perceptual Parsing for Scene Understanding" (Xiao et al., 2018, arXiv:1807.10221). Names and details
follow mmsegmentation's UPerHead and transformers' UperNetHead, which compute the same.

Shapes in the comments: N images, D channels of the decoder, H and W rows and columns of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.architecture import Architecture
from convnext_edge.network.conv_norm import ConvNormReLU

Size = tuple[int, int]  # rows and columns


class UPerNet(nn.Module):
    """Pyramid pooling of the last map, a feature pyramid (FPN) over all maps, and a classifier of pixels.

    Takes the map (N, C, H, W) of each stage, the finest first, and the size of the image in pixels; returns
    logits (N, classes, rows, columns) of that size.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.bins = architecture.pool_bins
        made: dict[str, nn.Module] = {
            layer.name: nn.Conv2d(layer.before, layer.dim, layer.kernel)
            if layer.name == "classifier"
            else ConvNormReLU(layer.before, layer.dim, layer.kernel)
            for layer in architecture.decoder_layers()
        }
        self.names = tuple(made)
        self.laterals = _listed("laterals.", made)
        self.pyramid = _listed("pyramid.", made)
        self.bottleneck = made["bottleneck"]
        self.fpn = _listed("fpn.", made)
        self.fpn_bottleneck = made["fpn_bottleneck"]
        self.classifier = made["classifier"]

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Return name and module of each layer with weights, in the order in which they run."""
        return [(name, self.get_submodule(name)) for name in self.names]

    def forward(self, maps: Sequence[Tensor], size: Size) -> Tensor:
        levels = [lateral(x) for lateral, x in zip(self.laterals, maps[:-1], strict=True)]  # (N, D, H, W)
        levels.append(self.bottleneck(self.pool(maps[-1])))
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = levels[fine] + resize(levels[fine + 1], size_of(levels[fine]))
        levels[:-1] = [conv(x) for conv, x in zip(self.fpn, levels[:-1], strict=True)]
        return self.enlarge(self.classifier(self.fuse(levels)), size)

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        """Return what all levels (N, D, H, W) together make of each pixel of the first, the finest."""
        finest = size_of(levels[0])
        whole = torch.cat([levels[0], *(resize(x, finest) for x in levels[1:])], dim=1)
        y: Tensor = self.fpn_bottleneck(whole)
        return y

    def enlarge(self, logits: Tensor, size: Size) -> Tensor:
        """Return the logits (N, classes, H, W) of each pixel of an image."""
        return resize(logits, size)

    def pool(self, x: Tensor) -> Tensor:
        """Return the last map (N, C, H, W) with what is around each pixel, (N, C + bins * D, H, W)."""
        pooled = [conv(average(x, edge)) for conv, edge in zip(self.pyramid, self.bins, strict=True)]
        return torch.cat([x, *(resize(y, size_of(x)) for y in pooled)], dim=1)


def average(x: Tensor, edge: int) -> Tensor:
    """Return the means (N, C, edge, edge) of the parts of (N, C, H, W), as PyTorch's adaptive pooling.

    Part by part: ONNX has no operator for it.
    """
    height, width = size_of(x)
    rows = torch.stack([x[:, :, first:behind].mean(2) for first, behind in parts(height, edge)], dim=2)
    columns = [rows[:, :, :, first:behind].mean(3) for first, behind in parts(width, edge)]
    return torch.stack(columns, dim=3)


def parts(length: int, count: int) -> list[tuple[int, int]]:
    """Return the first pixel of each part, and the one behind its last.

    Parts overlap by a pixel where `count` does not divide `length`.
    """
    return [(part * length // count, -(-(part + 1) * length // count)) for part in range(count)]


def resize(x: Tensor, size: Size) -> Tensor:
    """Return (N, C, H, W) in another size by bilinear interpolation, with pixels as areas."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def size_of(x: Tensor) -> Size:
    """Return rows and columns of (N, C, H, W)."""
    return x.shape[2], x.shape[3]


def _listed(prefix: str, layers: dict[str, nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(layer for name, layer in layers.items() if name.startswith(prefix))
