"""The operators of detection in ONNX: TopK, NonMaxSuppression and RoiAlign, and what shapes their values.

PyTorch's exporter calls these functions where a graph has an operator of `network.detection_ops`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from onnxscript import ir, opset18

from convnext_edge.network import detection_ops  # noqa: F401  # registers the operators
from convnext_edge.network.boxes import DROPPED

op: Any = opset18
MOST = np.iinfo(np.int64).max


def whole(*values: int) -> Any:
    """Return numbers as a constant of int64, (count,)."""
    return op.Constant(value=ir.tensor(np.array(values, np.int64)))


def like(x: Any, value: float) -> Any:
    """Return a number in the shape of `x`, without the shape itself, which other batches would change."""
    return op.Add(op.Mul(x, op.CastLike(0.0, x)), op.CastLike(value, x))


def write_best(scores: Any, count: int) -> Any:
    """Write `best`."""
    return op.TopK(scores, whole(count), axis=1, largest=1, sorted=1)


def write_suppress(boxes: Any, scores: Any, overlap: float) -> Any:
    """Write `suppress`: NonMaxSuppression names what it keeps, and the scores of that are put among -1."""
    three = op.Unsqueeze(scores, whole(1))  # (groups, 1, boxes): as of one class
    kept = op.NonMaxSuppression(
        boxes, three, whole(MOST), op.Constant(value_floats=[overlap]), op.Constant(value_floats=[0.0])
    )  # (kept, 3): group, class, box
    nothing = like(three, DROPPED)
    return op.Squeeze(op.ScatterND(nothing, kept, op.GatherND(three, kept)), whole(1))


def write_cut_out(
    levels: Sequence[Any], boxes: Any, level: Any, scales: Sequence[float], edge: int, aligned: bool
) -> Any:
    """Write `cut_out`: RoiAlign over the boxes of each level, whose pieces are put back into their order."""
    flat, numbers = op.Reshape(boxes, whole(-1, 4)), op.Reshape(level, whole(-1))
    first = op.Constant(value_int=0)
    every = op.CumSum(like(numbers, 1), first, exclusive=1)  # 0, 1, ... for each box
    image = op.CumSum(like(level, 1), first, exclusive=1)  # (images, boxes): the number of the image
    image = op.Reshape(image, whole(-1))
    pieces, places = [], []
    for number, (maps, scale) in enumerate(zip(levels, scales, strict=True)):
        place = op.Reshape(op.NonZero(op.Equal(numbers, whole(number))), whole(-1))
        pieces.append(
            op.RoiAlign(
                maps,
                op.Gather(flat, place),
                op.Gather(image, place),
                coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
                output_height=edge,
                output_width=edge,
                sampling_ratio=0 if aligned else 2,
                spatial_scale=scale,
            )
        )
        places.append(place)
    order = op.Concat(*places, axis=0)  # which box each piece is of
    back = op.ScatterElements(every, order, every, axis=0)  # which piece each box has
    return op.Gather(op.Concat(*pieces, axis=0), back)


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return what writes each operator of detection, as PyTorch's exporter takes it."""
    ops = torch.ops.convnext_edge
    return {
        ops.best.default: write_best,
        ops.suppress.default: write_suppress,
        ops.cut_out.default: write_cut_out,
    }
