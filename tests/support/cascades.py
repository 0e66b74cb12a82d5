"""A small Cascade Mask R-CNN under mmdetection's names, and what it answers, computed with NumPy alone.

mmdetection itself does not install beside our PyTorch. The names are those that a user of the authors' code
printed (github.com/facebookresearch/ConvNeXt/issues/133); the steps are those of mmdetection 2's
CascadeRoIHead.simple_test, BBoxHead.regress_by_class, BBoxHead.get_bboxes and delta2bbox, written anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

DIMS = (8, 8, 16, 16)
WIDTH, WIDE, CLASSES = 8, 16, 3
HEADS = 3
STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
BOX_EDGE, MASK_EDGE, FINE_EDGE = 7, 14, 28
# as tests export it
SETTINGS: dict[str, Any] = {
    "candidates": 60,
    "proposals": 30,
    "score_threshold": 0.1,
    "max_detections": 20,
}

Array = np.ndarray
State = dict[str, Array]


@dataclass(frozen=True)
class Kind:
    """Which box heads a cascade has; the defaults are those of the authors, with fewer convolutions."""

    convs: int = 2
    linears: int = 1
    agnostic: bool = False


def state_of(kind: Kind = Kind(), seed: int = 0) -> State:
    """Return the tensors of a cascade, drawn so that it finds many things."""
    random = np.random.default_rng(seed)
    shapes = dict(_backbone()) | dict(_pyramid()) | dict(_heads(kind))
    return {name: _drawn(name, shape, random) for name, shape in shapes.items()}


def checkpoint_of(state: State) -> dict[str, object]:
    """Return a checkpoint as mmdetection writes it."""
    return {"meta": {"epoch": 36}, "state_dict": {n: torch.from_numpy(v) for n, v in state.items()}}


def _backbone():  # type: ignore[no-untyped-def]
    for stage, dim in enumerate(DIMS):
        before = DIMS[stage - 1] if stage else 3
        edge, norm = (4, dim) if stage == 0 else (2, before)
        conv = f"backbone.downsample_layers.{stage}.{0 if stage == 0 else 1}"
        yield from _layer(conv, dim, before, edge, edge)
        yield from _layer(f"backbone.downsample_layers.{stage}.{1 if stage == 0 else 0}", norm)
        block = f"backbone.stages.{stage}.0"
        yield f"{block}.gamma", (dim,)
        yield from _layer(f"{block}.dwconv", dim, 1, 7, 7)
        yield from _layer(f"{block}.norm", dim)
        yield from _layer(f"{block}.pwconv1", 4 * dim, dim)
        yield from _layer(f"{block}.pwconv2", dim, 4 * dim)
        yield from _layer(f"backbone.norm{stage}", dim)


def _pyramid():  # type: ignore[no-untyped-def]
    for stage, dim in enumerate(DIMS):
        yield from _layer(f"neck.lateral_convs.{stage}.conv", WIDTH, dim, 1, 1)
        yield from _layer(f"neck.fpn_convs.{stage}.conv", WIDTH, WIDTH, 3, 3)
    yield from _layer("rpn_head.rpn_conv", WIDTH, WIDTH, 3, 3)
    yield from _layer("rpn_head.rpn_cls", 3, WIDTH, 1, 1)
    yield from _layer("rpn_head.rpn_reg", 12, WIDTH, 1, 1)


def _heads(kind: Kind):  # type: ignore[no-untyped-def]
    boxes = 1 if kind.agnostic else CLASSES
    for head in range(HEADS):
        name = f"roi_head.bbox_head.{head}"
        for number in range(kind.convs):
            conv = f"{name}.shared_convs.{number}"
            yield f"{conv}.conv.weight", (WIDTH, WIDTH, 3, 3)
            yield from ((f"{conv}.bn.{part}", (WIDTH,)) for part in ("weight", "bias"))
            yield from ((f"{conv}.bn.{part}", (WIDTH,)) for part in ("running_mean", "running_var"))
            yield f"{conv}.bn.num_batches_tracked", ()
        for number in range(kind.linears):
            yield from _layer(f"{name}.shared_fcs.{number}", WIDE, WIDE if number else WIDTH * BOX_EDGE**2)
        yield from _layer(f"{name}.fc_cls", CLASSES + 1, WIDE)
        yield from _layer(f"{name}.fc_reg", 4 * boxes, WIDE)
    for head in range(HEADS):
        name = f"roi_head.mask_head.{head}"
        for number in range(4):
            yield from _layer(f"{name}.convs.{number}.conv", WIDTH, WIDTH, 3, 3)
        yield from _layer(f"{name}.upsample", WIDTH, WIDTH, 2, 2)
        yield from _layer(f"{name}.conv_logits", CLASSES, WIDTH, 1, 1)


def _layer(name: str, *weight: int):  # type: ignore[no-untyped-def]
    yield f"{name}.weight", weight
    yield f"{name}.bias", weight[:1]


def _drawn(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Return a tensor: of a norm around 1 or 0, of a layer as large as keeps the size of what it takes."""
    if name.endswith("num_batches_tracked"):
        return np.array(100, np.int64)
    drawn = random.normal(size=shape)
    if name.endswith("running_var"):
        return (0.5 + drawn**2).astype(np.float32)
    if len(shape) == 1:
        drawn *= 0.1
        return (drawn + (1 if name.endswith(("weight", "gamma")) else 0)).astype(np.float32)
    gain = 1.4  # of layers before a ReLU
    if "fc_cls" in name or "conv_logits" in name:
        gain = 2.0
    elif "reg" in name:
        gain = 0.3
    return (gain * drawn / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


@dataclass(frozen=True)
class Found:
    """What a cascade finds in an image, the surest first."""

    boxes: Array
    labels: Array
    scores: Array
    masks: Array


def by_hand(
    state: State, levels: list[Array], proposals: Array, size: tuple[int, int], score: float
) -> Found:
    """Return what the heads find of proposals (R, 4) of an image.

    levels: maps (D, H, W) of strides 4, 8, 16 and 32. score: that a detection has more than.
    """
    rois, logits = proposals, []
    for head in range(HEADS):
        own, deltas = box_head(
            state, head, cut_out(levels, rois, BOX_EDGE)
        )  # (R, classes + 1), (R, boxes, 4)
        logits.append(own)
        if head < HEADS - 1:
            label = own[:, :-1].argmax(axis=1) % deltas.shape[1]
            rois = decoded(deltas[np.arange(len(rois)), label], rois, STDS[head], size)
    scores = softmax(sum(logits) / HEADS)[:, :-1]
    of_classes = [
        decoded(deltas[:, label % deltas.shape[1]], rois, STDS[-1], size) for label in range(CLASSES)
    ]
    chosen = sorted(
        (-scores[roi, label], label, roi)
        for label in range(CLASSES)
        for roi in kept(of_classes[label], scores[:, label], score)
    )
    boxes = np.array([of_classes[label][roi] for _, label, roi in chosen])
    labels = np.array([label for _, label, _ in chosen])
    return Found(boxes, labels, np.array([-lost for lost, *_ in chosen]), masks(state, levels, boxes, labels))


def box_head(state: State, head: int, x: Array) -> tuple[Array, Array]:
    """Return logits (R, classes + 1) and offsets (R, boxes, 4) of pieces (R, D, 7, 7)."""
    name, number = f"roi_head.bbox_head.{head}", 0
    while f"{name}.shared_convs.{number}.conv.weight" in state:
        conv = f"{name}.shared_convs.{number}"
        y = batch_norm(state, f"{conv}.bn", conv3x3(x, state[f"{conv}.conv.weight"]))
        x, number = np.maximum(y, 0), number + 1
    x, number = x.reshape(len(x), -1), 0
    while f"{name}.shared_fcs.{number}.weight" in state:
        x, number = np.maximum(linear(state, f"{name}.shared_fcs.{number}", x), 0), number + 1
    return linear(state, f"{name}.fc_cls", x), linear(state, f"{name}.fc_reg", x).reshape(len(x), -1, 4)


def masks(state: State, levels: list[Array], boxes: Array, labels: Array) -> Array:
    """Return the mean (R, 28, 28) of what the mask heads answer to the class of each box."""
    pieces = cut_out(levels, boxes, MASK_EDGE)
    each = [mask_logits(state, f"roi_head.mask_head.{head}", pieces) for head in range(HEADS)]
    return np.mean([1 / (1 + np.exp(-found[np.arange(len(boxes)), labels])) for found in each], axis=0)


def mask_logits(state: State, name: str, x: Array) -> Array:
    for number in range(4):
        conv = f"{name}.convs.{number}.conv"
        x = np.maximum(conv3x3(x, state[f"{conv}.weight"]) + across(state[f"{conv}.bias"]), 0)
    # a transposed convolution of stride 2: each pixel becomes 2 x 2
    grown = np.einsum("rchw,cdij->rdhiwj", x, state[f"{name}.upsample.weight"])
    grown = grown.reshape(len(x), WIDTH, FINE_EDGE, FINE_EDGE) + across(state[f"{name}.upsample.bias"])
    weight = state[f"{name}.conv_logits.weight"][:, :, 0, 0]
    logits = np.einsum("rchw,kc->rkhw", np.maximum(grown, 0), weight)
    return logits + across(state[f"{name}.conv_logits.bias"])


def batch_norm(state: State, name: str, x: Array) -> Array:
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, variance = (across(state[f"{name}.{part}"]) for part in names)
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def across(values: Array) -> Array:
    """Return one value for each channel as of a map, (C, 1, 1)."""
    return values[:, None, None]


def linear(state: State, name: str, x: Array) -> Array:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def conv3x3(x: Array, weight: Array) -> Array:
    """Return the convolution of (R, C, H, W) that keeps its size."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("rchwij,dcij->rdhw", windows, weight)


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def decoded(deltas: Array, boxes: Array, stds: tuple[float, ...], size: tuple[int, int]) -> Array:
    dx, dy, dw, dh = (deltas * np.array(stds)).T
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 + dx * widths, (boxes[:, 1] + boxes[:, 3]) / 2 + dy * heights
    limit = abs(np.log(16 / 1000))
    half_width = widths * np.exp(np.clip(dw, -limit, limit)) / 2
    half_height = heights * np.exp(np.clip(dh, -limit, limit)) / 2
    found = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], 1)
    return np.clip(found, 0, [size[1], size[0], size[1], size[0]])


def kept(boxes: Array, scores: Array, score: float) -> list[int]:
    """Return which boxes of a class no better one overlaps by more than an IoU of 0.5."""
    alive: list[int] = []
    for box in np.argsort(-scores, kind="stable"):
        if scores[box] > score and all(iou(boxes[box], boxes[other]) <= 0.5 for other in alive):
            alive.append(int(box))
    return alive


def iou(one: Array, other: Array) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    both = np.prod(np.maximum(high - low, 0))
    areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
    return float(both / (sum(areas) - both))


def cut_out(levels: list[Array], boxes: Array, edge: int) -> Array:
    """Return the pieces (R, D, edge, edge) by RoIAlign, box by box and sample by sample."""
    made = []
    for box in boxes:
        root = np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
        level = int(np.clip(np.floor(np.log2(root / 56 + 1e-6)), 0, 3))
        made.append(roi_align(levels[level], box / 4 / 2**level - 0.5, edge))
    return np.array(made)


def roi_align(x: Array, box: Array, edge: int) -> Array:
    sides = (box[2:] - box[:2]) / edge
    counts = np.ceil(sides).astype(int)  # samples of a cell: as many as the map has cells there
    places = [
        box[axis] + sides[axis] * (np.arange(edge * counts[axis]) + 0.5) / counts[axis] for axis in (0, 1)
    ]
    weights = [taps(place, x.shape[2 - axis]) for axis, place in enumerate(places)]
    sampled = np.einsum("chw,qh,pw->cqp", x, weights[1], weights[0])
    return sampled.reshape(len(x), edge, counts[1], edge, counts[0]).mean(axis=(2, 4))


def taps(places: Array, size: int) -> Array:
    """Return the weights (P, size) by which samples between the cells of an axis are interpolated."""
    inside = (places >= -1) & (places <= size)
    held = np.clip(places, 0, size - 1)
    return np.maximum(1 - np.abs(held[:, None] - np.arange(size)), 0) * inside[:, None]
