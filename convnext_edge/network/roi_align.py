"""RoIAlign: what is cut out of a map for each box, by bilinear interpolation ("Mask R-CNN", section 3).

Source of the details: torchvision's ops/roi_align.py and csrc/ops/cpu/roi_align_common.h; mmcv's RoIAlign is
the same with `aligned`.

Shapes in the comments: R boxes, C channels, H and W of the map, P samples along an edge of what is cut out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def roi_align(x: Tensor, boxes: Tensor, scale: float, edge: int, samples: int, *, aligned: bool) -> Tensor:
    """Return the pieces (R, C, edge, edge) of a map (C, H, W), each value the mean of samples of its cell.

    boxes: (R, 4) in pixels. scale: cells of the map for a pixel. samples: along each side of a cell; 0 for as
    many as it has cells of the map. aligned: whether the centre of the first cell is at (0.5, 0.5) of it, and
    not at (0, 0), where a box is a cell wide at least.
    """
    corners = boxes * scale - (0.5 if aligned else 0.0)
    extent = corners[:, 2:] - corners[:, :2]  # (R, 2): across, down
    extent = extent if aligned else extent.clamp(min=1)
    counts = torch.full_like(extent, samples).long() if samples else (extent / edge).ceil().long()
    made = x.new_zeros(len(boxes), edge * edge, len(x))
    table = x.flatten(1).T.contiguous()  # (H * W, C)
    for count in torch.unique(counts, dim=0):
        chosen = (counts == count).all(dim=1).nonzero()[:, 0]
        if int(count.min()) < 1:  # a box that is no box: nothing is sampled
            continue
        across, down = (
            along(corners[chosen, axis], extent[chosen, axis], edge, int(count[axis]), x.shape[2 - axis])
            for axis in (0, 1)
        )
        made[chosen] = gathered(table, down, across, x.shape[2])
    return made.view(len(boxes), edge, edge, len(x)).permute(0, 3, 1, 2)


Taps = tuple[Tensor, Tensor]  # cells of the map and their weights, each (R, edge, taps)


def along(start: Tensor, extent: Tensor, edge: int, count: int, size: int) -> Taps:
    """Return what is taken of a map along one axis.

    start, extent: (R,) of the boxes. count: samples in each cell of what is cut out. size: of the map.
    """
    steps = (torch.arange(edge * count, dtype=start.dtype) + 0.5) / count  # in cells of what is cut out
    places = start[:, None] + steps * (extent[:, None] / edge)  # (R, P)
    inside = (places >= -1) & (places <= size)  # beyond, nothing is taken
    places = places.clamp(0, size - 1)
    low = places.floor()
    high = (low + 1).clamp(max=size - 1)
    share = places - low
    weights = torch.stack([1 - share, share], dim=2) * inside[:, :, None] / count  # (R, P, 2)
    # of a box that is NaN, the weights are NaN, and so is what is cut out
    cells = torch.stack([low, high], dim=2).nan_to_num(0.0).long()
    return cells.view(-1, edge, 2 * count), weights.view(-1, edge, 2 * count)


def gathered(table: Tensor, down: Taps, across: Taps, columns: int) -> Tensor:
    """Return the weighted sums (R, edge * edge, C) of rows of a map that is a table (H * W, C)."""
    (rows, row_weights), (cells, cell_weights) = down, across
    # (R, edge down, edge across, taps down, taps across)
    indices = rows[:, :, None, :, None] * columns + cells[:, None, :, None, :]
    weights = row_weights[:, :, None, :, None] * cell_weights[:, None, :, None, :]
    bags = indices.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)
    sums: Tensor = F.embedding_bag(bags[0], table, mode="sum", per_sample_weights=bags[1])
    return sums.view(len(rows), -1, table.shape[1])
