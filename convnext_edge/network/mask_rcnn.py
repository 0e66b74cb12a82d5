"""Mask R-CNN's heads, or a cascade of them: from the maps of all stages to boxes, their classes and masks.

"Mask R-CNN" (He et al., 2017, arXiv:1703.06870). Details follow torchvision's MaskRCNN with FPN, and
mmdetection's with StandardRoIHead where `Detection.library` says so. "Cascade R-CNN" (Cai and Vasconcelos,
2019, arXiv:1906.09756) follows mmdetection's CascadeRoIHead: each box head looks at the boxes that the one
before it found, and what all answer is averaged. A Mask R-CNN is a cascade of one.

All has a fixed shape but for the number of images: what is dropped on the way keeps its place, with a score
that tells so.

Shapes in the comments: N images, D channels of the pyramid, H and W of a map, R boxes of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.architecture import Architecture
from convnext_edge.detection import BOX, BOX_EDGE, CASCADED, MASK_EDGE, OFFSETS
from convnext_edge.network.boxes import DROPPED, anchors_at, clip, decode, large_enough
from convnext_edge.network.detection_ops import best, cut_out, suppress
from convnext_edge.network.detector_heads import BoxHead, MaskHead, ProposalHead, listed, make_layer

Size = tuple[int, int]  # rows and columns
Weights = tuple[float, float, float, float]  # of the four offsets of a box
ANCHOR_EDGES = (32, 64, 128, 256, 512)  # of the square anchors of each level, in pixels
# Edges of boxes, as the root of their area, from which the next map is looked at: 224 pixels are for the
# third of four (equation 1 of the paper on pyramids, with the part of a level that libraries add)
LEVEL_EDGES = (112.0, 224.0, 448.0)
ROUNDING = 2.0**-1e-6
PROPOSAL_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
BOX_WEIGHTS = tuple((1 / centre, 1 / centre, 1 / edge, 1 / edge) for centre, edge in OFFSETS)
SMALLEST_PROPOSAL, SMALLEST_BOX = 1e-3, 1e-2  # pixels; torchvision's
BITS_BESIDE_1 = 2.0**23  # of a float32
LEAST_LIKELY = 60.0  # a logit of -60 is as good as none
LAST = -1e35  # of what is dropped, in an order of candidates
NO_LABEL = -1  # of what is no detection


class Boxes(NamedTuple):
    """What the heads look at."""

    proposals: tuple[Tensor, ...]  # by each box head, (N, R, 4)
    detections: Tensor  # (N, R, 4)


class Look(NamedTuple):
    """What a box head looked at, and what it answered."""

    boxes: Tensor  # (N, R, 4)
    logits: Tensor  # (N, R, rows)
    deltas: Tensor  # (N, R, boxes, 4)


class MaskRCNN(nn.Module):
    """A feature pyramid over the maps (N, C, H, W) of all stages, proposals, and heads that look at them.

    Takes the maps, the finest first, and the size of the image in pixels. Returns, of the `detections` best
    of each image, the best first: boxes (N, R, 4) in pixels, labels (N, R), scores (N, R), and masks
    (N, R, 28, 28): how likely each part of a box is of the object. Where there are fewer, the others have
    label -1 and score 0.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        assert architecture.detection is not None
        self.detection = architecture.detection
        self.strides = architecture.level_strides
        made = {layer.name: make_layer(layer) for layer in architecture.head_layers()}
        self.names = tuple(made)
        self.laterals = listed("laterals.", made)
        self.fpn = listed("fpn.", made)
        self.rpn = ProposalHead(made)
        self.box: nn.Module
        self.mask: nn.Module
        if architecture.cascade is None:
            self.box, self.mask = BoxHead(made, "box"), MaskHead(made, "mask")
        else:
            self.box = nn.ModuleList(BoxHead(made, f"box.{head}") for head in range(CASCADED))
            self.mask = nn.ModuleList(MaskHead(made, f"mask.{head}") for head in range(CASCADED))

    def forward(self, maps: Sequence[Tensor], size: Size) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        levels = self.pyramid(maps)
        proposals, real = self.propose(levels, size)
        boxes, labels, scores = self.detect(levels, proposals, real, size)
        masks = self.masks(levels, boxes, labels, size)
        hit = scores > 0
        return (
            boxes * hit[:, :, None],
            torch.where(hit, labels, NO_LABEL),
            scores * hit,
            masks * hit[:, :, None, None],
        )

    def dense(
        self, maps: Sequence[Tensor], size: Size, known: Boxes | None = None
    ) -> tuple[tuple[Tensor, ...], Boxes]:
        """Return what the layers answer, before anything is chosen of it, and the boxes that they looked at.

        These are the logits and deltas of all anchors and of the proposals, and the logits of the masks.
        known: the boxes to look at; without them, those that the maps tell. So two models can be compared
        value by value, where a little more or less would choose others.
        """
        levels = self.pyramid(maps)
        anchors = [self.rpn(x, level) for level, x in enumerate(levels)]
        if known is None:
            proposals, real = self.propose(levels, size)
            looks = self.looks(levels, proposals, size)
            known = Boxes(tuple(look.boxes for look in looks), self.choose(looks, real, size)[0])
        else:
            looks = self.looks(levels, known.proposals[0], size, known.proposals[1:])
        logits = self.mask_logits(self.pieces(levels, known.detections, size, MASK_EDGE))
        masks = [torch.unflatten(each, 0, (len(maps[0]), -1)) for each in logits]
        every = [torch.cat([found[i] for found in anchors], dim=1) for i in range(2)]
        of_boxes = [x for look in looks for x in (look.logits, look.deltas)]
        return (*every, *of_boxes, *masks), known

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels (N, D, H, W), the finest first, and one of half the size of the last."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        for fine in reversed(range(len(levels) - 1)):
            rows, columns = levels[fine].shape[2:]
            levels[fine] = levels[fine] + F.interpolate(
                levels[fine + 1], size=(rows, columns), mode="nearest"
            )
        found = [conv(x) for conv, x in zip(self.fpn, levels, strict=True)]
        return [*found, found[-1][:, :, ::2, ::2]]

    def propose(self, levels: Sequence[Tensor], size: Size) -> tuple[Tensor, Tensor]:
        """Return the best boxes (N, R, 4) that may hold something, and whether they are any, (N, R)."""
        found = [self.candidates(x, level, size) for level, x in enumerate(levels)]
        logits, deltas, anchors = (torch.cat(each, dim=1) for each in zip(*found, strict=True))
        boxes = clip(decode(deltas, anchors, PROPOSAL_WEIGHTS), size)
        counts = [each.shape[1] for each, *_ in found]
        of_levels = (
            torch.split(each, counts, dim=1) for each in (boxes, large_enough(boxes, SMALLEST_PROPOSAL))
        )
        kept = torch.cat([self.kept(*each) for each in zip(*of_levels, strict=True)], dim=1)
        order = torch.where(kept, -ranks(logits), LAST)
        value, places = best(order, min(self.detection.proposals, order.shape[1]))
        return at(boxes, places), value > LAST

    def candidates(self, x: Tensor, level: int, size: Size) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (N, R), deltas and anchors (N, R, 4) of the likeliest of a level, best first."""
        objectness, deltas = self.rpn(x, level)  # (N, anchors), (N, anchors, 4)
        logits, order = best(objectness, min(self.detection.candidates, objectness.shape[1]))
        stride = self.between_anchors(x, level, size)
        anchors = anchors_at(order, ANCHOR_EDGES[level], stride, x.shape[3], self.detection.library)
        return logits, at(deltas, order), anchors

    def between_anchors(self, x: Tensor, level: int, size: Size) -> Size:
        """Return how many pixels are between the anchors of a level (N, D, H, W), down and across.

        mmdetection is told the strides. torchvision divides the sizes: 13 rows of 800 pixels are 61 apart.
        """
        if self.detection.library == "mmdetection":
            return self.strides[level], self.strides[level]
        return size[0] // x.shape[2], size[1] // x.shape[3]

    def kept(self, boxes: Tensor, large: Tensor) -> Tensor:
        """Return of boxes (N, R, 4) of a level, the best first, whether no better one overlaps, (N, R).

        large: of each, whether it is large enough to be looked at.
        """
        falling = torch.arange(boxes.shape[1], 0, -1, dtype=boxes.dtype)  # their order is all that counts
        scores = torch.where(large, falling, DROPPED)
        found: Tensor = suppress(boxes, scores, self.detection.proposal_overlap)
        return found > 0

    def detect(
        self, levels: Sequence[Tensor], proposals: Tensor, real: Tensor, size: Size
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (N, R, 4), labels (N, R) and scores (N, R) of the detections, the best first.

        Where there are no more detections, the score is -1, and the box is one of those that were dropped.
        """
        return self.choose(self.looks(levels, proposals, size), real, size)

    def looks(
        self, levels: Sequence[Tensor], boxes: Tensor, size: Size, known: Sequence[Tensor] = ()
    ) -> list[Look]:
        """Return what each box head answers: the first to boxes (N, R, 4), others to those of the one before.

        known: what the others look at in place of these.
        """
        found: list[Look] = []
        for number, head in enumerate(heads_of(self.box)):
            if number:
                boxes = known[number - 1] if known else self.refine(found[-1], BOX_WEIGHTS[number - 1], size)
            answers = head(self.pieces(levels, boxes, size, BOX_EDGE))
            logits, deltas = (each.unflatten(0, (-1, boxes.shape[1])) for each in answers)
            found.append(Look(boxes, logits, deltas.unflatten(2, (-1, BOX))))
        return found

    def refine(self, look: Look, weights: Weights, size: Size) -> Tensor:
        """Return the boxes (N, R, 4) of the likeliest class that a head tells of those that it looked at."""
        deltas = look.deltas
        if deltas.shape[2] > 1:
            likeliest = self.of_classes(look.logits).argmax(dim=2)[:, :, None, None]
            deltas = deltas.gather(2, likeliest.expand(-1, -1, 1, BOX))
        return clip(decode(deltas.squeeze(2), look.boxes, weights), size)

    def of_classes(self, rows: Tensor) -> Tensor:
        """Return what is of classes, (N, R, classes, ...), without the background, of (N, R, rows, ...)."""
        return rows[:, :, 1:] if self.detection.background_first else rows[:, :, :-1]

    def choose(self, looks: Sequence[Look], real: Tensor, size: Size) -> tuple[Tensor, Tensor, Tensor]:
        """Return the detections as `detect` does, of what the box heads answer."""
        settings, last = self.detection, looks[-1]
        scores = self.of_classes(mean([look.logits for look in looks]).softmax(dim=2))  # (N, R, classes)
        deltas = last.deltas[:, :, 1:] if settings.background_first else last.deltas
        boxes = clip(decode(deltas, last.boxes[:, :, None], BOX_WEIGHTS[len(looks) - 1]), size)
        if boxes.shape[2] == 1:
            boxes = boxes.expand(-1, -1, scores.shape[2], -1)
        likely = (scores > settings.score) & real[:, :, None] & large_enough(boxes, SMALLEST_BOX)
        scores = torch.where(likely, scores, DROPPED)
        count, classes = scores.shape[1:]
        grouped = (
            boxes.transpose(1, 2).flatten(0, 1),
            scores.transpose(1, 2).flatten(0, 1),
        )  # (N * classes, R)
        kept: Tensor = suppress(*grouped, settings.overlap)
        kept = kept.reshape(-1, classes, count).transpose(1, 2)  # (N, R, classes)
        found, order = best(kept.flatten(1), min(settings.detections, count * classes))
        labels: Tensor = order % classes + (1 if settings.background_first else 0)
        return at(boxes.flatten(1, 2), order), labels, found

    def masks(self, levels: Sequence[Tensor], boxes: Tensor, labels: Tensor, size: Size) -> Tensor:
        """Return how likely each of 28 x 28 parts of a box is of its object, (N, R, 28, 28)."""
        logits = self.mask_logits(self.pieces(levels, boxes, size, MASK_EDGE))
        own = mean([own_mask(each, labels) for each in logits])
        return own.reshape(-1, boxes.shape[1], *own.shape[1:])

    def mask_logits(self, pieces: Tensor) -> list[Tensor]:
        """Return what each mask head answers to pieces (N * R, D, 14, 14): (N * R, classes, 28, 28)."""
        return [head(pieces) for head in heads_of(self.mask)]

    def pieces(self, levels: Sequence[Tensor], boxes: Tensor, size: Size, edge: int) -> Tensor:
        """Return what is cut out for each box (N, R, 4) of the level that suits its size.

        The result is (N * R, D, edge, edge).
        """
        low = boxes[..., :2]
        # of a box without an area, OpenVINO's RoiAlign may take the mean of no samples
        boxes = torch.cat([low, torch.maximum(boxes[..., 2:], low + SMALLEST_PROPOSAL)], dim=-1)
        extent = boxes[..., 2:] - low
        root = (extent[..., 0] * extent[..., 1]).sqrt()
        level = sum((root >= bound * ROUNDING).long() for bound in LEVEL_EDGES)
        aligned = self.detection.library == "mmdetection"
        scales = [
            1 / stride if aligned else nearest_power(x.shape[2] / size[0])
            for x, stride in zip(levels[:-1], self.strides[:-1], strict=True)
        ]
        made: Tensor = cut_out(levels[:-1], boxes, cast(Tensor, level), scales, edge, aligned)
        return made


def heads_of(module: nn.Module) -> list[nn.Module]:
    """Return the heads of a cascade, or the only one."""
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def mean(values: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape, and one alone as it is."""
    return values[0] if len(values) == 1 else torch.stack(list(values)).sum(dim=0) / len(values)


def own_mask(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mask (N * R, 28, 28) of the class that each box has, of logits (N * R, classes, 28, 28)."""
    chosen = labels.flatten()[:, None, None, None].expand(-1, 1, *logits.shape[2:])
    own: Tensor = logits.gather(1, chosen).sigmoid().squeeze(1)
    return own


def at(values: Tensor, order: Tensor) -> Tensor:
    """Return the boxes (N, R, 4) at places (N, R) of others."""
    return values.gather(1, order[:, :, None].expand(-1, -1, values.shape[2]))


def ranks(logits: Tensor) -> Tensor:
    """Return numbers (N, R) by which all candidates are ordered, the best first, and none like another.

    Both libraries order by the sigmoid in float32, in which many that are near 1 are equal: it adds 1 to
    exp(-x), which leaves 23 bits of it. Of equal ones the first is better, and not every runtime's TopK keeps
    that. So the numbers are these bits, and a part of 1 for the place.
    """
    odds = (-logits).clamp(max=LEAST_LIKELY).exp()
    places = torch.arange(logits.shape[1]) / logits.shape[1]
    return (odds * BITS_BESIDE_1).round() + 0.5 * places


def nearest_power(scale: float) -> float:
    """Return the power of two that is nearest to a ratio of sizes, which cutting off may have changed."""
    return 2.0 ** round(torch.tensor(scale).log2().item())
