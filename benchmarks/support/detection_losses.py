"""What a Mask R-CNN learns from: the losses of its proposals, its boxes and its masks.

"Mask R-CNN" (He et al., 2017, arXiv:1703.06870); weights of the losses as in torchvision's MaskRCNN. Pictures
are small: all boxes are looked at on the finest map, and the examples of a picture are fewer.

Shapes in the comments: N images, A anchors of an image, R boxes, G objects of an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from convnext_edge.detection import ANCHORS, BOX_EDGE, MASK_EDGE
from convnext_edge.network.boxes import anchors_at, overlaps
from convnext_edge.network.mask_rcnn import (
    ANCHOR_EDGES,
    BOX_WEIGHTS,
    LEVEL_EDGES,
    PROPOSAL_WEIGHTS,
    MaskRCNN,
    Size,
)
from convnext_edge.network.roi_align import roi_align

ANCHOR_EXAMPLES, BOX_EXAMPLES, MASK_EXAMPLES = 64, 24, 6  # of a picture
LIKE, UNLIKE = 0.5, 0.3  # IoU from which an anchor is an object's, and below which it is none's
OBJECT = 0.5  # IoU with an object from which a box is one
BETA = 1 / 9  # offset up to which the loss of a box is a square
COPIES = 8  # boxes near each object that are looked at beside the proposals
MOVED = 0.12  # by how much of their edges these lie elsewhere, as a deviation


class Truth(NamedTuple):
    """The objects of a picture."""

    boxes: Tensor  # (G, 4)
    labels: Tensor  # (G,), from 1
    masks: Tensor  # (G, H, W), 0 or 1


class Losses(NamedTuple):
    """The losses of a batch, which are added."""

    objectness: Tensor
    proposals: Tensor
    classes: Tensor
    boxes: Tensor
    masks: Tensor


def losses(decoder: MaskRCNN, maps: Sequence[Tensor], size: Size, truths: Sequence[Truth]) -> Losses:
    """Return the losses of a decoder that is given the maps (N, C, H, W) of pictures of that size."""
    assert max(size) < LEVEL_EDGES[0], size  # larger boxes would belong to other maps
    levels = decoder.pyramid(maps)
    objectness, proposals = proposal_losses(decoder, levels, size, truths)
    with torch.no_grad():
        found, real = decoder.propose([level.detach().float() for level in levels], size)
        chosen = [
            examples(boxes[hit], truth, size) for boxes, hit, truth in zip(found, real, truths, strict=True)
        ]
    classes, boxes = box_losses(decoder, levels[0], size, chosen, truths)
    masks = mask_loss(decoder, levels[0], size, chosen, truths)
    return Losses(objectness, proposals, classes, boxes, masks)


def proposal_losses(
    decoder: MaskRCNN, levels: Sequence[Tensor], size: Size, truths: Sequence[Truth]
) -> tuple[Tensor, Tensor]:
    """Return the losses of whether an anchor is an object's, and of how far away that is."""
    found = [decoder.rpn(x, level) for level, x in enumerate(levels)]
    logits, deltas = (torch.cat(each, dim=1).float() for each in zip(*found, strict=True))
    anchors = all_anchors(decoder, levels, size)
    of_objects, of_boxes, count = logits.new_zeros(()), logits.new_zeros(()), 0
    for number, truth in enumerate(truths):
        nearest, hits, misses = assigned(anchors, truth.boxes)
        hits = drawn(hits, ANCHOR_EXAMPLES // 2)
        both = torch.cat([hits, drawn(misses, ANCHOR_EXAMPLES - len(hits))])
        wanted = torch.zeros(len(both))
        wanted[: len(hits)] = 1
        of_objects = of_objects + F.binary_cross_entropy_with_logits(
            logits[number, both], wanted, reduction="sum"
        )
        goal = encode(truth.boxes[nearest[hits]], anchors[hits], PROPOSAL_WEIGHTS)
        of_boxes = of_boxes + distance(deltas[number, hits], goal)
        count += len(both)
    return of_objects / count, of_boxes / count


def all_anchors(decoder: MaskRCNN, levels: Sequence[Tensor], size: Size) -> Tensor:
    """Return the anchors of all levels, (A, 4)."""
    made = []
    for level, x in enumerate(levels):
        rows, columns = x.shape[2:]
        stride = decoder.between_anchors(x, level, size)
        numbers = torch.arange(rows * columns * ANCHORS)
        made.append(anchors_at(numbers, ANCHOR_EDGES[level], stride, columns, decoder.detection.library))
    return torch.cat(made)


def assigned(anchors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the nearest object of each anchor (A,), and the numbers of anchors that are one's and none's.

    The best anchor of an object is its own in any case.
    """
    overlap = overlaps(anchors, boxes)  # (A, G)
    best, nearest = overlap.max(dim=1)
    own = best >= LIKE
    own[overlap.argmax(dim=0)] = True
    nearest[overlap.argmax(dim=0)] = torch.arange(len(boxes))
    return nearest, own.nonzero()[:, 0], ((best < UNLIKE) & ~own).nonzero()[:, 0]


class Examples(NamedTuple):
    """The boxes of a picture that the heads learn from."""

    boxes: Tensor  # (R, 4)
    nearest: Tensor  # (R,): the object of each
    objects: int  # the first ones are these


def examples(proposals: Tensor, truth: Truth, size: Size) -> Examples:
    """Return boxes that are objects, as many as there are up to half, and others."""
    boxes = torch.cat([truth.boxes, near(truth.boxes, size), proposals])
    best, nearest = overlaps(boxes, truth.boxes).max(dim=1)
    hits = drawn((best >= OBJECT).nonzero()[:, 0], BOX_EXAMPLES // 2)
    both = torch.cat([hits, drawn((best < OBJECT).nonzero()[:, 0], BOX_EXAMPLES - len(hits))])
    return Examples(boxes[both], nearest[both], len(hits))


def near(boxes: Tensor, size: Size) -> Tensor:
    """Return boxes near others (G, 4), (G * COPIES, 4)."""
    each = boxes.repeat(COPIES, 1)
    edges = (each[:, 2:] - each[:, :2]).repeat(1, 2)
    moved = each + torch.randn(each.shape) * MOVED * edges
    limit = torch.tensor([size[1], size[0]] * 2)
    return torch.minimum(moved.clamp(min=0), limit)


def box_losses(
    decoder: MaskRCNN, x: Tensor, size: Size, chosen: Sequence[Examples], truths: Sequence[Truth]
) -> tuple[Tensor, Tensor]:
    """Return the losses of the classes of boxes, and of where these would be."""
    logits, deltas = decoder.box(pieces(x, size, [each.boxes for each in chosen], BOX_EDGE))
    logits, deltas = logits.float(), deltas.float()
    labels, hits, goals, start = [], [], [], 0
    for each, truth in zip(chosen, truths, strict=True):
        own = truth.labels[each.nearest]
        own[each.objects :] = 0
        labels.append(own)
        hits.append(torch.arange(start, start + each.objects))
        wanted = truth.boxes[each.nearest[: each.objects]]
        goals.append(encode(wanted, each.boxes[: each.objects], BOX_WEIGHTS[0]))
        start += len(each.boxes)
    every, hit = torch.cat(labels), torch.cat(hits)
    own_deltas = deltas.unflatten(1, (-1, 4))[hit, every[hit]]
    return F.cross_entropy(logits, every), distance(own_deltas, torch.cat(goals)) / len(every)


def mask_loss(
    decoder: MaskRCNN, x: Tensor, size: Size, chosen: Sequence[Examples], truths: Sequence[Truth]
) -> Tensor:
    """Return the loss of the masks of some boxes that are objects."""
    boxes, labels, goals = [], [], []
    for each, truth in zip(chosen, truths, strict=True):
        some = drawn(torch.arange(each.objects), MASK_EXAMPLES)
        boxes.append(each.boxes[some])
        objects = each.nearest[some]
        labels.append(truth.labels[objects])
        goals += list(mask_goals(truth.masks[objects], each.boxes[some]))
    logits = decoder.mask(pieces(x, size, boxes, MASK_EDGE)).float()
    own = logits[torch.arange(len(logits)), torch.cat(labels)]
    return F.binary_cross_entropy_with_logits(own, torch.stack(goals))


def mask_goals(masks: Tensor, boxes: Tensor) -> Iterator[Tensor]:
    """Yield what each box (R, 4) has of its mask (R, H, W), as (28, 28) of 0 and 1."""
    for mask, box in zip(masks, boxes, strict=True):
        cut = roi_align(mask[None], box[None], 1.0, 2 * MASK_EDGE, 1, aligned=False)
        yield (cut[0, 0] > 0.5).float()


def pieces(x: Tensor, size: Size, boxes: Sequence[Tensor], edge: int) -> Tensor:
    """Return what is cut out of a map (N, C, H, W) for each box, by what can be learned through."""
    scale = x.shape[2] / size[0]
    cut = [
        roi_align(one.float(), its, scale, edge, 2, aligned=False) for one, its in zip(x, boxes, strict=True)
    ]
    return torch.cat(cut)


def encode(boxes: Tensor, others: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Return the deltas from which `decode` makes boxes (R, 4) of others."""
    (x, y, w, h), (x0, y0, w0, h0) = ((*centre(each), *edges(each)) for each in (boxes, others))
    found = ((x - x0) / w0, (y - y0) / h0, (w / w0).log(), (h / h0).log())
    return torch.stack([delta * weight for delta, weight in zip(found, weights, strict=True)], dim=1)


def edges(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return widths and heights, not less than a pixel."""
    extent = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    return extent[:, 0], extent[:, 1]


def centre(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres, across and down."""
    middle = (boxes[:, 2:] + boxes[:, :2]) / 2
    return middle[:, 0], middle[:, 1]


def distance(deltas: Tensor, goal: Tensor) -> Tensor:
    """Return how far deltas are from where they should be, added up."""
    return F.smooth_l1_loss(deltas, goal, beta=BETA, reduction="sum")


def drawn(numbers: Tensor, count: int) -> Tensor:
    """Return so many of some numbers at random, or all where there are no more."""
    return numbers[torch.randperm(len(numbers))[:count]]
