"""A detector whose layers are computed elsewhere: what lies between its dense part and its heads.

Those are two engines of a runtime that cannot run the rest: anchors, decoding, dropping of overlapping boxes,
RoIAlign, and the choice of what is found. All of it is `MaskRCNN`'s, with modules in place of its layers that
pass on what the engines answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from convnext_edge.architecture import Architecture
from convnext_edge.detection import LEVELS
from convnext_edge.network.detector_heads import ProposalHead, in_rows
from convnext_edge.network.mask_rcnn import MaskRCNN

MAPS = LEVELS - 1  # levels that the dense part gives; the last one is made of the one before it
# Of pieces (R, D, H, W), the answers of the box head of that number, or those of all mask heads.
AskBoxes = Callable[[int, Tensor], tuple[Tensor, Tensor]]
AskMasks = Callable[[Tensor], Sequence[Tensor]]


class RemoteMaskRCNN(MaskRCNN):
    """The heads of a detector without their layers.

    Takes what the dense part answers, and the size of the image: MAPS levels (N, D, H, W), then logits
    (N, shapes, H, W) of all LEVELS, then their deltas (N, shapes * 4, H, W). It keeps what it was given last,
    so that one thread uses it at a time. ask_boxes, ask_masks: what answers in place of the heads.
    """

    def __init__(self, architecture: Architecture, ask_boxes: AskBoxes, ask_masks: AskMasks) -> None:
        with torch.device("meta"):
            super().__init__(architecture)
        self.ask_masks = ask_masks
        self.laterals, self.fpn, self.mask = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.rpn = GivenProposals()
        self.box = nn.ModuleList(RemoteBoxHead(ask_boxes, number) for number in range(architecture.box_heads))

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels that the dense part gives, and keep what it tells of them."""
        levels, logits, deltas = maps[:MAPS], maps[MAPS:-LEVELS], maps[-LEVELS:]
        cast(GivenProposals, self.rpn).given = list(zip(logits, deltas, strict=True))
        return [*levels, levels[-1][:, :, ::2, ::2]]

    def mask_logits(self, pieces: Tensor) -> list[Tensor]:
        return list(self.ask_masks(pieces))


class GivenProposals(ProposalHead):
    """What the dense part answers for each level, in place of layers."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.given: list[tuple[Tensor, Tensor]] = []  # logits and deltas of each level

    def forward(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        return in_rows(*self.given[level])


class RemoteBoxHead(nn.Module):
    """A box head that asks for its answers."""

    def __init__(self, ask: AskBoxes, number: int) -> None:
        super().__init__()
        self.ask, self.number = ask, number

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (R, rows) and deltas (R, boxes * 4) of pieces (R, D, 7, 7)."""
        logits, deltas = self.ask(self.number, x)
        return logits.flatten(1), deltas.flatten(1)
