"""The architecture that the shapes of a checkpoint's tensors imply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from convnext_edge.architecture import Architecture, Pooling, Shape
from convnext_edge.checkpoints.layouts import Layout
from convnext_edge.detection import BOX, Cascade, Detection
from convnext_edge.upernet import USUAL_BINS


def infer(found: Mapping[str, Shape], layout: Layout) -> Architecture:
    """Return the architecture that shapes imply, without a check that the tensors are complete.

    found: shapes by our names of the tensors. layout: of the names that they had.
    """
    depths, dims, kernels = _stages(found)
    conv2 = found.get("stem.conv2.weight", ())
    classes, hidden = _edge(found.get("head.weight", ()), 0), _edge(found.get("hidden.weight", ()), 0)
    of_pixels = _edge(found.get("decoder.classifier.weight", ()), 0)
    of_boxes = _edge(found.get(f"decoder.mask{_first_head(found)}.classes.weight", ()), 0)
    map_norms = tuple(stage for stage in range(len(dims)) if f"map_norms.{stage}.weight" in found)
    last_norm = "norm.weight" in found or "norm_pre.weight" in found
    pooled = (last_norm or classes > 0) and not (of_pixels or of_boxes)
    return Architecture(
        depths=depths,
        dims=dims,
        patch=4 if conv2 else _edge(found["stem.conv.weight"], -1),
        classes=of_pixels or of_boxes or classes,
        grn=any(".grn." in name for name in found),
        layer_scale=any(name.endswith(".gamma") for name in found),
        channels=_edge(found["stem.conv.weight"], 1),
        stem=layout.stem if conv2 else "patch",
        stem_width=_edge(conv2, 1),
        downsample_first="stages.0.downsample.conv.weight" in found,
        kernels=kernels,
        conv_bias="stem.conv.bias" in found,
        norm="layernorm" if "stem.norm.bias" in found else "rmsnorm",
        norm_bias="stem.norm.bias" in found,
        last_norm=last_norm,
        norm_first="norm_pre.weight" in found,
        pooling=_pooling(found.get("head.weight", ()), dims, hidden),
        hidden=hidden,
        head_bias="head.bias" in found or not classes,
        pool_bins=_bins(found) if of_pixels else (),
        **_decoder(found, of_pixels, of_boxes),
        pooled=pooled,
        maps=() if pooled else map_norms or tuple(range(len(dims))),
        map_norms=map_norms,
        map_last_norm=layout.family == "dinov3",
    )


def _decoder(found: Mapping[str, Shape], of_pixels: int, of_boxes: int) -> dict[str, Any]:
    """Return what tells a decoder, if there is one.

    of_pixels, of_boxes: classes of a UPerNet, and of a Mask R-CNN.
    """
    if of_pixels:
        width = _edge(found.get("decoder.fpn_bottleneck.conv.weight", ()), 0)
        return {"decoder": "upernet", "decoder_width": width}
    if not of_boxes:
        return {}
    first = _first_head(found)
    # mmdetection has no mask for the background
    rows = _edge(found.get(f"decoder.box{first}.classes.weight", ()), 0)
    return {
        "decoder": "mask_rcnn",
        "decoder_width": _edge(found.get("decoder.rpn.conv.weight", ()), 0),
        "box_width": _edge(found.get(f"decoder.box{first}.fc1.weight", ()), 0),
        "mask_width": _edge(found.get(f"decoder.mask{first}.upsample.weight", ()), 0),
        "cascade": _cascade(found) if first else None,
        "detection": Detection("torchvision" if rows == of_boxes and not first else "mmdetection"),
    }


def _first_head(found: Mapping[str, Shape]) -> str:
    """Return what the names of the first heads of a cascade have behind `box` and `mask`; else nothing."""
    return ".0" if "decoder.mask.0.classes.weight" in found else ""


def _cascade(found: Mapping[str, Shape]) -> Cascade:
    """Return what the first box head of a cascade tells of all."""
    convs = [name for name in found if re.fullmatch(r"decoder\.box\.0\.convs\.\d+\.conv\.weight", name)]
    return Cascade(
        convs=len(convs),
        linears=2 if "decoder.box.0.fc2.weight" in found else 1,
        agnostic=_edge(found.get("decoder.box.0.deltas.weight", ()), 0) == BOX,
    )


def _stages(found: Mapping[str, Shape]) -> tuple[Shape, Shape, Shape]:
    """Return the depth, the channels and the depthwise kernel of each stage."""
    depths: dict[int, int] = {}
    first: dict[int, Shape] = {}
    for name, shape in found.items():
        if match := re.fullmatch(r"stages\.(\d+)\.blocks\.\d+\.dwconv\.weight", name):
            stage = int(match[1])
            depths[stage] = depths.get(stage, 0) + 1
            first.setdefault(stage, shape)
    order = sorted(depths)
    return (
        tuple(depths[stage] for stage in order),
        tuple(_edge(first[stage], 0) for stage in order),
        tuple(_edge(first[stage], -1) for stage in order),
    )


def _bins(found: Mapping[str, Shape]) -> Shape:
    """Return the edges of the pooled maps, which show in no tensor but by their number.

    Zeros stand for those that are not the usual ones: only a config tells them.
    """
    count = len({name for name in found if re.fullmatch(r"decoder\.pyramid\.\d+\.conv\.weight", name)})
    return USUAL_BINS if count == len(USUAL_BINS) else (0,) * count


def _pooling(head: Shape, dims: Shape, hidden: int) -> Pooling:
    doubled = bool(dims) and not hidden and _edge(head, 1) == 2 * dims[-1]
    return "catavgmax" if doubled else "avg"


def _edge(shape: Shape, axis: int) -> int:
    return shape[axis] if len(shape) > max(axis, 0) else 0
