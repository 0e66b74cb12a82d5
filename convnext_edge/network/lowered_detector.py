"""The heads of a detector in the layers of a form, each of which has an input and a weight of its own.

The convolutions over the levels are one layer in the reference; here each level has its own, as the values of
levels lie in ranges of their own. The transposed convolution, of stride 2 and as wide, is a 1x1 convolution
to four times the channels, which then become pixels. The two 1x1 convolutions that tell proposals are one,
as each takes as long as both together: reading the map is most of it. BatchNorms are in the weights before
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from convnext_edge.architecture import Architecture
from convnext_edge.detection import LEVELS
from convnext_edge.network.conv_norm import ConvNormReLU
from convnext_edge.network.detector_heads import ProposalHead
from convnext_edge.network.foldings import folded_layer
from convnext_edge.network.forms import LayerFactory, MatMul, bias_of, convolution
from convnext_edge.network.mask_rcnn import MaskRCNN

MERGED = "objectness+deltas"  # the name of a layer that is two of the reference
GROWN = 2  # times the rows and columns, by `mask.upsample`


class LoweredMaskRCNN(MaskRCNN):
    """The heads with the layers of a form in place of PyTorch's."""

    def __init__(self, architecture: Architecture, heads: MaskRCNN, factory: LayerFactory) -> None:
        with torch.device("meta"):
            super().__init__(architecture)
        for name in self.names:
            if not name.startswith("rpn."):
                self.set_submodule(name, lowered_layer(name, heads.get_submodule(name), factory))
        self.rpn = LevelProposalHead(heads.rpn, factory)

    def pieces_for(self, name: str) -> int:
        """Return as how many images a layer takes one: those of the heads take boxes."""
        if name.startswith("box."):
            layer = self.get_submodule(name)
            in_one = isinstance(layer, Vectors) and layer.convolves
            return 1 if in_one else self.detection.proposals
        return self.detection.detections if name.startswith("mask.") else 1

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield name and module of each layer with weights, in the order in which they run."""
        names = [name for name in self.names if not name.startswith("rpn.")]
        before = [name for name in names if name.startswith(("laterals.", "fpn."))]
        yield from ((name, self.get_submodule(name)) for name in before)
        yield from cast(LevelProposalHead, self.rpn).layers()
        yield from ((name, self.get_submodule(name)) for name in names if name not in before)


class LevelProposalHead(ProposalHead):
    """The layers of proposals, once for each level, with logits and deltas in one."""

    def __init__(self, head: ProposalHead, factory: LayerFactory) -> None:
        nn.Module.__init__(self)
        conv, objectness, deltas = (cast(nn.Conv2d, part) for part in head.children())
        weight = torch.cat([objectness.weight, deltas.weight])
        bias = torch.cat([bias_of(objectness), bias_of(deltas)])
        self.convs = nn.ModuleList(factory.dense(conv) for _ in range(LEVELS))
        self.answers = nn.ModuleList(factory.dense(convolution(weight, bias)) for _ in range(LEVELS))
        self.shapes = objectness.out_channels

    def of_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        both = self.answers[level](functional.relu(self.convs[level](x)))
        return both[:, : self.shapes], both[:, self.shapes :]

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield name and module of each layer, in the order in which they run."""
        for level in range(LEVELS):
            yield f"rpn.conv.{level}", self.convs[level]
            yield f"rpn.{MERGED}.{level}", self.answers[level]


class Vectors(nn.Module):
    """A linear layer over vectors (R, K), as a 1x1 convolution or as a multiplication by a matrix.

    The vectors are the pixels of one image of a convolution: as images of one pixel, OpenVINO takes 3.6 times
    as long in INT8.
    """

    def __init__(self, layer: nn.Linear, *, convolves: bool) -> None:
        super().__init__()
        self.convolves = convolves
        weight, bias = layer.weight, bias_of(layer)
        self.layer = convolution(weight[:, :, None, None], bias) if convolves else MatMul(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.convolves:
            y: Tensor = self.layer(x[None, :, None].permute(0, 3, 1, 2))  # (1, K, R, 1) to (1, O, R, 1)
            return y.permute(0, 2, 3, 1).flatten(0, 2)
        return self.layer(x[:, None]).flatten(1)  # type: ignore[no-any-return]


class Grown(nn.Module):
    """A transposed convolution that makes 2x2 pixels of each, (R, C, H, W) to (R, D, 2 * H, 2 * W)."""

    def __init__(self, layer: nn.ConvTranspose2d, factory: LayerFactory) -> None:
        super().__init__()
        weight, bias = layer.weight, layer.bias
        assert bias is not None
        each = weight.permute(1, 2, 3, 0).flatten(0, 2)[:, :, None, None]  # (D * 4, C, 1, 1)
        self.conv = factory.dense(convolution(each, bias.repeat_interleave(GROWN**2)))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.conv(x), GROWN)


def lowered_layer(name: str, layer: nn.Module, factory: LayerFactory) -> nn.Module:
    """Return the layer of that name in a form."""
    match layer:
        case nn.Linear():
            return Vectors(layer, convolves=factory.int8_convolutions)
        case nn.ConvTranspose2d():
            return Grown(layer, factory)
    return folded_layer(layer, factory.dense)


def fold_norms(heads: MaskRCNN) -> None:
    """Put the BatchNorms of a detector's heads into the convolutions before them."""
    for name in heads.names:
        if isinstance(layer := heads.get_submodule(name), ConvNormReLU):
            heads.set_submodule(name, folded_layer(layer))
