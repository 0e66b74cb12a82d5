"""The layers of a detector that look at the levels of its pyramid, or at pieces of them.

Shapes in the comments: N images, D channels of the pyramid, H and W of a map, R boxes.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.detection import BOX


class ProposalHead(nn.Module):
    """A convolution over each level, and what each anchor is: how likely anything, and how far away."""

    def __init__(self, made: dict[str, nn.Module]) -> None:
        super().__init__()
        self.conv, self.objectness, self.deltas = (
            made[f"rpn.{name}"] for name in ("conv", "objectness", "deltas")
        )

    def of_level(self, level: int) -> tuple[nn.Module, ...]:
        """Return the layers of a level, which are the same for all here."""
        return self.conv, self.objectness, self.deltas

    def forward(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return logits (N, anchors) and deltas (N, anchors, 4) of a level (N, D, H, W)."""
        conv, objectness, of_boxes = self.of_level(level)
        y = F.relu(conv(x))
        logits, deltas = objectness(y), of_boxes(y)  # (N, shapes, H, W), (N, shapes * 4, H, W)
        return logits.permute(0, 2, 3, 1).flatten(1), deltas.permute(0, 2, 3, 1).flatten(1).unflatten(
            1, (-1, BOX)
        )


class BoxHead(nn.Module):
    """Two linear layers over a piece of a map, and two that tell its class, and where each class would be."""

    def __init__(self, made: dict[str, nn.Module]) -> None:
        super().__init__()
        self.fc1, self.fc2 = made["box.fc1"], made["box.fc2"]
        self.classes, self.deltas = made["box.classes"], made["box.deltas"]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (R, rows) and deltas (R, classes * 4) of pieces (R, D, 7, 7)."""
        y = F.relu(self.fc1(x.flatten(1)))
        y = F.relu(self.fc2(y))
        return self.classes(y), self.deltas(y)


class MaskHead(nn.Module):
    """Convolutions over a piece of a map, one that doubles its size, and a mask for each class."""

    def __init__(self, made: dict[str, nn.Module]) -> None:
        super().__init__()
        self.convs = listed("mask.convs.", made)
        self.upsample, self.classes = made["mask.upsample"], made["mask.classes"]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (R, classes, 28, 28) of pieces (R, D, 14, 14)."""
        for conv in self.convs:
            x = F.relu(conv(x))
        y: Tensor = self.classes(F.relu(self.upsample(x)))
        return y


def make_layer(name: str, weight: tuple[int, ...]) -> nn.Module:
    """Return the layer of that name and weight."""
    if name == "mask.upsample":
        return nn.ConvTranspose2d(weight[0], weight[1], weight[2], stride=weight[2])
    if len(weight) == 2:
        return nn.Linear(weight[1], weight[0])
    return nn.Conv2d(weight[1], weight[0], weight[2], padding=weight[2] // 2)


def listed(prefix: str, layers: dict[str, nn.Module]) -> nn.ModuleList:
    """Return the layers whose names begin with a prefix."""
    return nn.ModuleList(layer for name, layer in layers.items() if name.startswith(prefix))
