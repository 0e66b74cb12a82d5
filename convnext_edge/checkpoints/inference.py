"""The architecture that the shapes of a checkpoint's tensors imply."""

from __future__ import annotations

import re
from collections.abc import Mapping

from convnext_edge.architecture import Architecture, Pooling, Shape
from convnext_edge.checkpoints.layouts import Layout
from convnext_edge.upernet import USUAL_BINS


def infer(found: Mapping[str, Shape], layout: Layout) -> Architecture:
    """Return the architecture that shapes imply, without a check that the tensors are complete.

    found: shapes by our names of the tensors. layout: of the names that they had.
    """
    depths, dims, kernels = _stages(found)
    conv2 = found.get("stem.conv2.weight", ())
    classes, hidden = _edge(found.get("head.weight", ()), 0), _edge(found.get("hidden.weight", ()), 0)
    of_pixels = _edge(found.get("decoder.classifier.weight", ()), 0)
    map_norms = tuple(stage for stage in range(len(dims)) if f"map_norms.{stage}.weight" in found)
    last_norm = "norm.weight" in found or "norm_pre.weight" in found
    pooled = (last_norm or classes > 0) and not of_pixels
    return Architecture(
        depths=depths,
        dims=dims,
        patch=4 if conv2 else _edge(found["stem.conv.weight"], -1),
        classes=of_pixels or classes,
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
        decoder="upernet" if of_pixels else None,
        decoder_width=_edge(found.get("decoder.fpn_bottleneck.conv.weight", ()), 0) if of_pixels else 0,
        pool_bins=_bins(found) if of_pixels else (),
        pooled=pooled,
        maps=() if pooled else map_norms or tuple(range(len(dims))),
        map_norms=map_norms,
        map_last_norm=layout.family == "dinov3",
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
