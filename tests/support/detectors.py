"""A tiny detector of torchvision's, and engines whose detections are told by the test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from support.embedded import MANIFEST, Pixels
from support.places import TESTS

from convnext_edge.artifacts.digests import sha256
from convnext_edge.images.objects import Found, covered, cut_off, have_area, in_picture
from convnext_edge.images.preprocessing import Preprocessing

CHECKPOINT = TESTS / "fixtures" / "detection" / "torchvision_maskrcnn.pth"
SIZE = (96, 128)  # rows and columns of the input
PLACES = 12  # detections at most
SETTINGS: dict[str, Any] = {
    "candidates": 120,
    "proposals": 60,
    "score_threshold": 0.1,
    "max_detections": PLACES,
}
# In the input, of which a picture of 91 x 57 takes 128 x 80: plain, whole, partly and fully in the padding,
# tiny, without a width, high, without an area
BOXES = [
    [10.25, 12.5, 71.75, 60.125],
    [0.0, 0.0, 128.0, 96.0],
    [100.3, 50.7, 128.0, 81.9],
    [5.0, 84.0, 20.0, 95.0],
    [30.1, 30.2, 30.4, 30.5],
    [128.0, 0.0, 128.0, 80.0],
    [0.0, 0.0, 3.0, 90.0],
    [64.0, 20.0, 64.0, 20.0],
]
NAMES = ("background", "cat", "dog", "bird")

Engines = Callable[[str], Path]  # the engine in INT8 for a runtime


def made(boxes: Sequence[Sequence[float]], labels: Sequence[int] | None = None, seed: int = 0) -> Found:
    """Detections with these boxes, in the input's pixels, scores that fall, and masks with blobs."""
    count = len(boxes)
    coarse = np.random.default_rng(seed).random((count, 7, 7), np.float32)
    masks = np.kron(coarse, np.ones((1, 4, 4), np.float32))
    masks[:, ::5] *= np.float32(0.7)
    whole = np.array(labels or [1 + place % 3 for place in range(count)], np.int64)
    scores = np.linspace(0.95, 0.3, count, dtype=np.float32)
    return Found(np.array(boxes, np.float32), whole, scores, masks)


def constant_model(folder: Path, copy: Path, found: Found) -> Path:
    """A copy of a detector's model/ with an ONNX graph that answers any image with these detections."""
    shutil.copytree(folder, copy)
    filled = [
        np.concatenate([each, np.full((PLACES - len(each), *each.shape[1:]), rest, each.dtype)])[None]
        for each, rest in zip(found, (0, -1, 0, 0), strict=True)
    ]
    names = ("boxes", "labels", "scores", "masks")
    lines = dict(line.split(" ", 1) for line in (copy / MANIFEST).read_text().splitlines())
    engine = copy / "constant.onnx"
    engine.write_bytes(constant_graph(dict(zip(names, filled, strict=True))).SerializeToString())
    text = (copy / MANIFEST).read_text().replace(f"engine {lines['engine']}", f"engine {engine.name}")
    (copy / MANIFEST).write_text(f"{text}file {sha256(engine)} {engine.name}\n")
    return copy


def constant_graph(values: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """A graph that adds nothing of its image to constants."""
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
    ]
    outputs = []
    for name, value in values.items():
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        nodes += [
            helper.make_node("Cast", ["nothing"], [f"{name}_nothing"], to=kind),
            helper.make_node("Add", [f"{name}_value", f"{name}_nothing"], [name]),
        ]
        outputs.append(helper.make_tensor_value_info(name, kind, value.shape))
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 3, *SIZE])
    stored = [numpy_helper.from_array(value, f"{name}_value") for name, value in values.items()]
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    graph = helper.make_graph(nodes, "constant", [image], outputs, [zero, *stored])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def expected_objects(
    found: Found, image: Pixels, prepared: Preprocessing, threshold: float
) -> list[tuple[int, float, NDArray[np.float64], NDArray[np.bool_]]]:
    """Class, score, box and pixels (height, width) of the objects in a picture, as Python has them."""
    size = image.shape[1], image.shape[0]
    whole = in_picture(found.boxes, size, prepared)
    boxes = cut_off(whole, size)
    chosen = np.flatnonzero((found.scores > threshold) & have_area(boxes))
    return [
        (int(found.labels[i]), float(found.scores[i]), boxes[i], covered(found.masks[i], whole[i], size))
        for i in chosen
    ]
