"""The layers of a detector that look at the levels of its pyramid, or at pieces of them.

Shapes in the comments: N images, D channels of the pyramid, H and W of a map, R boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.detection import BOX, HeadLayer
from convnext_edge.network.conv_norm import ConvNormReLU

LINEARS = ("fc1", "fc2")  # names of the linear layers of a box head, of which it may have one


class ProposalHead(nn.Module):
    """A convolution over each level, and what each anchor is: how likely anything, and how far away."""

    def __init__(self, made: dict[str, nn.Module]) -> None:
        super().__init__()
        self.conv, self.objectness, self.deltas = (
            made[f"rpn.{name}"] for name in ("conv", "objectness", "deltas")
        )

    def of_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return logits (N, shapes, H, W) and deltas (N, shapes * 4, H, W) of a level (N, D, H, W)."""
        y = F.relu(self.conv(x))
        return self.objectness(y), self.deltas(y)

    def forward(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return logits (N, anchors) and deltas (N, anchors, 4) of a level (N, D, H, W)."""
        return in_rows(*self.of_level(x, level))


def in_rows(logits: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (N, anchors) and deltas (N, anchors, 4), as rows, columns and shapes follow each other.

    logits: (N, shapes, H, W). deltas: (N, shapes * 4, H, W).
    """
    anchors, boxes = (each.permute(0, 2, 3, 1).flatten(1) for each in (logits, deltas))
    return anchors, torch.unflatten(boxes, 1, (-1, BOX))


class BoxHead(nn.Module):
    """Layers over a piece of a map, and two that tell its class, and where each class would be.

    The layers are linear ones, in a cascade perhaps behind convolutions. A cascade may also tell one box for
    all classes.
    """

    def __init__(self, made: dict[str, nn.Module], name: str) -> None:
        super().__init__()
        self.convs = listed(f"{name}.convs.", made)
        self.linears = [part for part in LINEARS if f"{name}.{part}" in made]
        for part in self.linears:
            self.add_module(part, made[f"{name}.{part}"])
        self.classes, self.deltas = made[f"{name}.classes"], made[f"{name}.deltas"]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (R, rows) and deltas (R, boxes * 4) of pieces (R, D, 7, 7)."""
        for conv in self.convs:
            x = conv(x)
        y = x.flatten(1)
        for part in self.linears:
            y = F.relu(self.get_submodule(part)(y))
        return self.classes(y), self.deltas(y)


class MaskHead(nn.Module):
    """Convolutions over a piece of a map, one that doubles its size, and a mask for each class."""

    def __init__(self, made: dict[str, nn.Module], name: str) -> None:
        super().__init__()
        self.convs = listed(f"{name}.convs.", made)
        self.upsample, self.classes = made[f"{name}.upsample"], made[f"{name}.classes"]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (R, classes, 28, 28) of pieces (R, D, 14, 14)."""
        for conv in self.convs:
            x = F.relu(conv(x))
        y: Tensor = self.classes(F.relu(self.upsample(x)))
        return y


def make_layer(layer: HeadLayer) -> nn.Module:
    """Return the module of a layer."""
    weight = layer.weight
    if layer.name.endswith(".upsample"):
        return nn.ConvTranspose2d(weight[0], weight[1], weight[2], stride=weight[2])
    if layer.norm:
        return ConvNormReLU(weight[1], weight[0], weight[2])
    if len(weight) == 2:
        return nn.Linear(weight[1], weight[0])
    return nn.Conv2d(weight[1], weight[0], weight[2], padding=weight[2] // 2)


def listed(prefix: str, layers: dict[str, nn.Module]) -> nn.ModuleList:
    """Return the layers whose names begin with a prefix."""
    return nn.ModuleList(layer for name, layer in layers.items() if name.startswith(prefix))
