"""What segmenters and detectors read: label maps, annotations, checkpoints of heads; and kept answers."""

from __future__ import annotations

import hashlib
import io
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from benchmarks.fuzzing import sets
from benchmarks.fuzzing.artifacts import PREPROCESSING
from benchmarks.fuzzing.edits import damaged
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.evaluation.coco_ap import average_precision
from convnext_edge.evaluation.kept_answers import KeptAnswers, answers_file, digest, seal
from convnext_edge.images.objects import run_lengths
from convnext_edge.images.opening import open_path
from convnext_edge.targets.base import Images, Outputs

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from support.cascades import Kind, state_of
from support.detectors import CHECKPOINT

Files = dict[str, bytes]
Tensors = dict[str, torch.Tensor]

WEIGHTS = "weights.safetensors"
ANSWERS = "answers.safetensors"
MODES = ("L", "P", "RGB", "1", "LA", "I;16")

# --- label maps ------------------------------------------------------------------------------------


@cache
def codes(mode: str = "L", size: tuple[int, int] = (12, 9)) -> bytes:
    """Return a label map of three classes, as a PNG file."""
    pixels = np.random.default_rng(0).integers(0, 4, size[::-1], np.uint8)
    image = Image.fromarray(pixels.astype(np.uint16)) if mode == "I;16" else Image.fromarray(pixels)
    made = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(made, "PNG")
    return made.getvalue()


@st.composite
def label_maps(draw: st.DrawFn) -> Files:
    """Return two pictures, of which the label map of one is damaged, of another mode or of another size."""
    how = draw(st.sampled_from(("damaged", "damaged", "mode", "size", "claims", "place")))
    made, name = codes(), "annotations/1.png"
    if how == "damaged":
        made = draw(damaged(codes(draw(st.sampled_from(("L", "P"))))))
    elif how == "mode":
        made = codes(draw(st.sampled_from(MODES)))
    elif how == "size":
        made = codes("L", draw(st.sampled_from(((9, 12), (1, 1), (500, 1)))))
    elif how == "claims":
        made = sets.resized(
            codes(), "PNG", draw(st.sampled_from(sets.EDGES)), draw(st.sampled_from(sets.EDGES))
        )
    else:
        name = draw(st.sampled_from(("annotations/1.PNG", "annotations/x/1.png", "images/annotations/1.png")))
    pictures = {f"images/{number}.png": sets.photo() for number in (1, 2)}
    return {**pictures, "annotations/2.png": codes(), name: made}


def read_label_maps(folder: Path) -> None:
    """Read pictures with their label maps, as inputs and whole."""
    images = open_path(folder, name="set")
    prepared = replace(PREPROCESSING, label_zero="none")
    for _ in images.batches(prepared, batch=2, dtype="uint8", workers=1):
        pass
    for _ in images.pictures(prepared):
        pass


# --- annotations -----------------------------------------------------------------------------------


def coco_file() -> Any:
    """Return a file in COCO's format: a polygon, run lengths of both kinds, and a crowd."""
    inside = np.zeros((9, 12), np.bool_)
    inside[2:5, 1:4] = True
    plain: dict[str, Any] = {"size": [9, 12], "counts": [11, 3, 6, 3, 6, 3, 76]}
    masks = ([[1, 2, 4, 2, 4, 5]], run_lengths(inside), plain)
    box = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 3], "area": 9.5}
    return {
        "images": [{"id": 1, "file_name": "1.png", "width": 12, "height": 9}],
        "annotations": [
            {**box, "segmentation": mask, "iscrowd": int(n == 1)} for n, mask in enumerate(masks)
        ],
        "categories": [{"id": 2, "name": "cat"}, {"id": 7, "name": "dog"}],
    }


def judge_annotations(folder: Path) -> None:
    """Read a set with objects, and tell the precision of a detection in it, as `validate` does."""
    images = open_path(folder, name="set")
    for batch in images.batches(PREPROCESSING, batch=2, dtype="uint8", workers=1):
        if batch.labels.dtype != object:
            continue
        scenes = batch.labels.tolist()
        found = {"bbox": [1.0, 2.0, 3.0, 3.0], "score": 0.9, "category_id": 2}
        for scene in scenes:
            inside = np.zeros(scene.size[::-1], np.bool_)
            row = {**found, "image_id": scene.number, "segmentation": run_lengths(inside)}
            average_precision([scene], [row], "bbox")
            average_precision([scene], [row], "segm")


# --- checkpoints -----------------------------------------------------------------------------------


@cache
def heads(kind: str) -> Tensors:
    """Return the tensors of a small detector: torchvision's, or a cascade of mmdetection's."""
    if kind == "torchvision":
        loaded: Tensors = torch.load(CHECKPOINT, weights_only=True)
        return loaded
    return {name: torch.from_numpy(np.asarray(value)) for name, value in state_of(Kind()).items()}


@st.composite
def detectors(draw: st.DrawFn) -> Files:
    """Return a detector whose tensors are taken away, renamed, or of other shapes, types and values."""
    own = draw(st.sampled_from(("torchvision", "cascade")))
    state = dict(heads(own))
    for _ in range(draw(st.integers(1, 3))):
        _change(state, draw, other=heads("cascade" if own == "torchvision" else "torchvision"))
    return {WEIGHTS: safetensors.torch.save({name: value.contiguous() for name, value in state.items()})}


def _change(state: Tensors, draw: st.DrawFn, other: Tensors) -> None:
    name = draw(st.sampled_from(sorted(state)))
    tensor = state[name]
    match draw(st.sampled_from(("part", "one", "rename", "shape", "type", "values", "other"))):
        case "part":  # a head, or a whole network
            part = name.rpartition(".")[0].rsplit(".", draw(st.integers(0, 3)))[0]
            for each in [each for each in state if each.startswith(part) and len(state) > 1]:
                del state[each]
            state.setdefault(name, tensor)
        case "one":
            state["rest"] = state.pop(name)
        case "rename":
            number = draw(st.sampled_from(("0", "1", "2", "3", "9999")))
            state["".join(number if c.isdigit() else c for c in name)] = state.pop(name)
        case "shape":
            edges = draw(st.lists(st.sampled_from((0, 1, 2, 3, 4, 8)), max_size=4))
            state[name] = torch.zeros(edges)
        case "type":
            state[name] = tensor.to(
                draw(st.sampled_from((torch.float16, torch.int8, torch.bool, torch.float64)))
            )
        case "values":
            value = draw(st.sampled_from((float("nan"), float("inf"), 1e30, -1.0, 0.0)))
            state[name] = torch.full(tensor.shape, value)
        case _:
            taken = draw(st.sampled_from(sorted(other)))
            state[taken] = other[taken]


def read_detector(folder: Path) -> None:
    """Load a checkpoint as `export` does, up to its answer."""
    load_source(None, folder / WEIGHTS)


# --- kept answers ----------------------------------------------------------------------------------


def questions() -> NDArray[np.float32]:
    """Return three images."""
    return np.arange(3 * 3 * 4, dtype=np.float32).reshape(3, 3, 2, 2)


def reference(images: Images) -> Outputs:
    """Answer each image with the sums of its channels."""
    return (images.sum((2, 3)),)


@cache
def sound_answers() -> bytes:
    """Return the file of the answers to two of the questions."""
    return answers_file({digest(image): (image.sum((1, 2)),) for image in questions()[:2]})


@st.composite
def kept_answers(draw: st.DrawFn) -> Files:
    """Return a file of kept answers: damaged bytes, or other tensors under a seal that is right."""
    if draw(st.booleans()):
        return {ANSWERS: draw(damaged(sound_answers()))}
    keys = b"".join(digest(image) for image in questions()[:2])
    tensors: dict[str, NDArray[Any]] = {
        "pixels": np.frombuffer(keys, np.uint8).reshape(2, hashlib.sha256().digest_size),
        "output0": np.ones((2, 3), np.float32),
    }
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(("pixels", "output0", "output1", "other")))
        shape = draw(st.lists(st.sampled_from((0, 1, 2, 3, 32)), max_size=3))
        kind = draw(st.sampled_from((np.float32, np.uint8, np.int64, np.float16, np.bool_)))
        tensors[name] = np.full(shape, draw(st.sampled_from((0, 1, np.nan))), np.float32).astype(kind)
        if draw(st.integers(0, 3)) == 0:
            del tensors[name]
    return {ANSWERS: save({**tensors, "seal": np.frombuffer(seal(tensors), np.uint8)})}


def read_kept_answers(folder: Path) -> None:
    """Ask a reference that remembers, and keep what is new."""
    answers = KeptAnswers(reference, folder / ANSWERS)
    answers(questions())
    answers.keep()
