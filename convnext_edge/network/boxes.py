"""Boxes (x1, y1, x2, y2) in pixels: anchors, offsets to them, overlaps, and which of several is kept.

Sources: torchvision's models/detection/_utils.py, anchor_utils.py and ops/boxes.py; mmdetection's
DeltaXYWHBBoxCoder and AnchorGenerator, which compute the same but for what is said here.

Shapes in the comments: N images, R boxes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convnext_edge.detection import ANCHORS, RATIOS, Library

LARGEST_STRETCH = math.log(1000 / 16)  # by which an edge may grow, as a logarithm; in both libraries
DROPPED = -1.0  # the score of what is not kept


def decode(deltas: Tensor, boxes: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Return the boxes (..., 4) that lie `deltas` (..., 4) away from others.

    deltas: of the centre in edges of the box, and logarithms of how much the edges grow; each times its
    weight.
    """
    widths, heights = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    x, y = boxes[..., 0] + 0.5 * widths, boxes[..., 1] + 0.5 * heights
    dx, dy, dw, dh = (deltas[..., i] / weight for i, weight in enumerate(weights))
    x, y = dx * widths + x, dy * heights + y
    half_width = 0.5 * (dw.clamp(max=LARGEST_STRETCH).exp() * widths)
    half_height = 0.5 * (dh.clamp(max=LARGEST_STRETCH).exp() * heights)
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes (..., 4) cut off at the edges of an image of that height and width."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def large_enough(boxes: Tensor, edge: float) -> Tensor:
    """Return of boxes (..., 4) whether neither edge is shorter than `edge`, (...)."""
    return (boxes[..., 2:] - boxes[..., :2] >= edge).all(dim=-1)


def anchors_at(
    numbers: Tensor, base: float, stride: tuple[int, int], columns: int, library: Library
) -> Tensor:
    """Return the anchors of a level that have these numbers (...), as (..., 4).

    They are counted by rows, columns and shapes. base: edge of the square one in pixels. stride: pixels
    between two places, down and across. columns: of the level. torchvision rounds the edges.
    """
    cells = numbers // ANCHORS
    x, y = cells % columns * stride[1], cells // columns * stride[0]
    shapes = anchor_shapes(base, library)
    return torch.stack([x, y, x, y], dim=-1) + shapes[numbers % ANCHORS]


def anchor_shapes(base: float, library: Library) -> Tensor:
    """Return the anchors at the origin, (shapes, 4)."""
    rows = []
    for ratio in np.sqrt(np.array(RATIOS, np.float32)):
        down, across = np.float32(base) * ratio, np.float32(base) * (np.float32(1) / ratio)
        rows.append([-across, -down, across, down])
    shapes = np.array(rows, np.float32) / 2
    return torch.from_numpy(np.rint(shapes) if library == "torchvision" else shapes)


def overlaps(one: Tensor, others: Tensor) -> Tensor:
    """Return the IoU of each of (A, 4) boxes with each of (B, 4), as (A, B); of nothing with nothing, NaN."""
    low = torch.maximum(one[:, None, :2], others[None, :, :2])
    high = torch.minimum(one[:, None, 2:], others[None, :, 2:])
    both = (high - low).clamp(min=0).prod(dim=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (one, others)]
    return both / (areas[0][:, None] + areas[1][None] - both)


def nms(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """Return the indices of the boxes (R, 4) that no better one overlaps by more than an IoU, best first.

    A box that is itself dropped drops no other ("non-maximum suppression"). Of equal scores the first is
    better.
    """
    order = scores.argsort(descending=True, stable=True)
    rivals = overlaps(boxes[order], boxes[order]) > overlap
    alive = torch.ones(len(order), dtype=torch.bool)
    for place in range(len(order)):
        if alive[place]:
            alive[place + 1 :] &= ~rivals[place, place + 1 :]
    return order[alive]
