"""The operators of detection: the best of many, dropping of overlapping boxes, and RoIAlign over a pyramid.

They are custom operators, so that exporters see one node of a known shape in place of loops over boxes;
`onnx_graph.detection` writes them with ONNX's TopK, NonMaxSuppression and RoiAlign.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convnext_edge.network.boxes import DROPPED, nms
from convnext_edge.network.roi_align import roi_align


@torch.library.custom_op("convnext_edge::best", mutates_args=())
def best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` highest of scores (N, R), the best first, and where they are, each (N, count).

    Of equal ones the first comes first, as in ONNX and unlike torch.topk: logits far from 0 have the same
    score.
    """
    found, order = scores.sort(dim=1, descending=True, stable=True)
    return found[:, :count].clone(), order[:, :count].clone()


@best.register_fake
def _(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    shape = scores.shape[0], count
    return scores.new_empty(shape), scores.new_empty(shape, dtype=torch.int64)


@torch.library.custom_op("convnext_edge::suppress", mutates_args=())
def suppress(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """Return the scores (G, R) of each group of boxes, with -1 for those that a better one overlaps.

    boxes: (G, R, 4). Boxes without a score above 0 are dropped before. overlap: the IoU that two boxes of a
    group may have.
    """
    kept = torch.full_like(scores, DROPPED)
    for group, (all_boxes, all_scores) in enumerate(zip(boxes, scores, strict=True)):
        alive = (all_scores > 0).nonzero()[:, 0]
        chosen = alive[nms(all_boxes[alive], all_scores[alive], overlap)]
        kept[group, chosen] = all_scores[chosen]
    return kept


@suppress.register_fake
def _(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    return torch.empty_like(scores)


@torch.library.custom_op("convnext_edge::cut_out", mutates_args=())
def cut_out(
    levels: Sequence[Tensor], boxes: Tensor, level: Tensor, scales: Sequence[float], edge: int, aligned: bool
) -> Tensor:
    """Return what RoIAlign cuts out for each box, (N * R, C, edge, edge).

    levels: maps (N, C, H, W) of several sizes. boxes: (N, R, 4) in pixels. level: the number of the map of
    each box, (N, R). scales: cells of each map for a pixel. aligned: as of `roi_align`, and as many samples
    as a map has cells; otherwise two a side.
    """
    count, channels = boxes.shape[1], levels[0].shape[1]
    made = levels[0].new_zeros(len(boxes) * count, channels, edge, edge, dtype=torch.float32)
    samples = 0 if aligned else 2
    for image, wanted in enumerate(level):
        for number, (maps, scale) in enumerate(zip(levels, scales, strict=True)):
            chosen = (wanted == number).nonzero()[:, 0]
            x = maps[image].float()
            found = roi_align(x, boxes[image, chosen].float(), scale, edge, samples, aligned=aligned)
            made[image * count + chosen] = found
    return made


@cut_out.register_fake
def _(
    levels: Sequence[Tensor], boxes: Tensor, level: Tensor, scales: Sequence[float], edge: int, aligned: bool
) -> Tensor:
    return boxes.new_empty(boxes.shape[0] * boxes.shape[1], levels[0].shape[1], edge, edge)
