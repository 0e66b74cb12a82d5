"""What is read beside a checkpoint: configs of libraries and of the hub, names of classes, answers."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import safetensors.torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from benchmarks.fuzzing import arrays, checkpoints, sets
from benchmarks.fuzzing.edits import damaged, texts
from convnext_edge.checkpoints.config import find_config
from convnext_edge.checkpoints.expectation import Expectation
from convnext_edge.checkpoints.hub import accept
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.preparation.found import find_preparation
from convnext_edge.checkpoints.source import Source
from convnext_edge.checkpoints.variants import Variant, find_variant
from convnext_edge.images.class_order import by_names
from convnext_edge.images.opening import open_path
from convnext_edge.images.transform import preprocess
from convnext_edge.images.way import way
from convnext_edge.targets.torch import TorchSession

Files = dict[str, bytes]

WEIGHTS, HUB_WEIGHTS = "weights.safetensors", "model.safetensors"
EDGE = 8  # of the images that the smallest model is asked


@cache
def weights() -> bytes:
    """Return the smallest model as a file."""
    return safetensors.torch.save(checkpoints.state())


# --- configs ---------------------------------------------------------------------------------------

OF_TRANSFORMERS = {
    "model_type": "convnext", "hidden_act": "gelu", "layer_norm_eps": 1e-12, "hidden_sizes": [4, 8],
    "depths": [1, 1], "num_stages": 2, "patch_size": 4, "id2label": {"0": "cat"},
}  # fmt: skip
OF_TIMM = {
    "architecture": "convnext_custom", "num_classes": 3, "global_pool": "avg",
    "model_args": {
        "dims": [4, 8], "depths": [1, 1], "act_layer": "gelu", "norm_layer": "layernorm", "norm_eps": 1e-6,
        "global_pool": "avg", "output_stride": 32,
    },
}  # fmt: skip
HUB = {
    "architecture": "convnext_atto", "num_classes": checkpoints.SMALL.classes,
    "pretrained_cfg": {
        "input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic", "crop_mode": "center",
        "mean": [0.4, 0.4, 0.4], "std": [0.2, 0.2, 0.2],
    },
}  # fmt: skip


def configs() -> st.SearchStrategy[Files]:
    """Return weights that are sound, with a damaged config.json of transformers or timm beside them."""
    contents = st.one_of(texts(OF_TRANSFORMERS), texts(OF_TIMM))
    return contents.map(lambda content: {WEIGHTS: weights(), "config.json": content})


def read_configured(folder: Path) -> None:
    """Load a checkpoint with what its config says."""
    load_source(None, folder / WEIGHTS)


@st.composite
def hub_files(draw: st.DrawFn) -> Files:
    """Return the two files of a repository of the hub, one or both of them damaged."""
    which = draw(st.sampled_from(("config", "config", "weights", "both")))
    config, held = json.dumps(HUB).encode(), weights()
    if which != "weights":
        config = draw(texts(HUB))
    if which != "config":
        held = draw(checkpoints.safetensors_files())
    return {"config.json": config, HUB_WEIGHTS: held}


def read_hub(folder: Path) -> None:
    """Take what was downloaded, as the weights of a variant with the smallest model."""
    accept(small_variant(), folder / "config.json", folder / HUB_WEIGHTS)


@cache
def small_variant() -> Variant:
    """Return a published variant, but for its size."""
    return replace(find_variant("atto"), architecture=checkpoints.SMALL, source="timm/convnext_atto.x")


PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 47}, "resample": 3,
    "crop_size": {"height": 40, "width": 40}, "crop_pct": 0.9, "do_center_crop": True, "do_resize": True,
    "do_rescale": True, "do_normalize": True, "rescale_factor": 0.003, "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}  # fmt: skip
OPEN_CLIP = {
    "model_cfg": {"vision_cfg": {"image_size": 40}},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": 0.5, "resize_mode": "longest", "fill_color": 9},
}
PREPARATIONS: dict[str, Any] = {
    "preprocessor_config.json": PROCESSOR,
    "open_clip_config.json": OPEN_CLIP,
    "config.json": HUB,
}


def read_preparation(folder: Path) -> None:
    """Prepare an image as a file beside a checkpoint says."""
    config = find_config(folder)
    loaded: Any = SimpleNamespace(
        config=config, layout="timm_v1", architecture=checkpoints.SMALL, task="classify"
    )
    prepared = find_preparation(folder, loaded).preprocessing
    way(prepared)
    preprocess(Image.new("RGB", (7, 5)), prepared)


# --- names of classes ------------------------------------------------------------------------------

NAMED: tuple[Any, ...] = (
    ["cat", "dog", "cow"], {"0": "cat", "1": "dog", "2": "cow"}, {"cat": 0, "dog": 1, "cow": 2},
    {"0": ["n00000001", "cat"], "1": ["n00000002", "dog"], "2": ["n00000003", "cow"]},
)  # fmt: skip
LINES = (
    b"cat\ndog\ncow\n",
    b"0 cat\n1 dog\n2 cow\n",
    b"cat 0\ndog 1\ncow 2\n",
    b"n01 cat\nn02 dog\nn03 cow\n",
)
# In the places of separators and names, as patterns are tried at every place of a line.
LONG = (b" " * 300_000, b",;" * 150_000, b"1 " * 150_000, b"a " * 150_000, b"\xe2\x80\x83" * 100_000)


@st.composite
def class_files(draw: st.DrawFn) -> Files:
    """Return class folders, and a damaged file with the names of their classes."""
    folders = {"cat/1.png": sets.photo(), "dog/1.png": sets.photo()}
    if draw(st.booleans()):
        return {**folders, "classes.json": draw(texts(draw(st.sampled_from(NAMED))))}
    whole = draw(st.sampled_from(LINES))
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(whole)))
        return {**folders, "classes.txt": whole[:at] + draw(st.sampled_from(LONG)) + whole[at:]}
    return {**folders, "classes.txt": draw(damaged(whole))}


def read_classes(folder: Path) -> None:
    """Number the classes of a set as the file says."""
    (names,) = folder.glob("classes.*")
    by_names(open_path(folder, name="set"), names, classes=3)


# --- arrays ----------------------------------------------------------------------------------------


def answers() -> NDArray[np.float32]:
    """Return an array of the shape that the smallest model answers `images` with."""
    return np.zeros((1, checkpoints.SMALL.classes), np.float32)


def images() -> NDArray[np.float32]:
    """Return one image as the smallest model takes it."""
    return np.zeros((1, 3, EDGE, EDGE), np.float32)


def small_answer() -> NDArray[np.float32]:
    """Return what the smallest model really answers `images`."""
    return TorchSession(small_source().reference).run(images())


@st.composite
def expectations(draw: st.DrawFn) -> Files:
    """Return the files of --expect and --input-data, one of them damaged."""
    if draw(st.integers(0, 2)) == 0:
        return {"expect.npy": arrays.saved(answers()), "input.npy": draw(arrays.arrays(images()))}
    held = draw(st.one_of(arrays.arrays(answers()), arrays.bundles(answers())))
    return {"expect.npy": held, "input.npy": arrays.saved(images())}


def read_expectation(folder: Path) -> None:
    """Hold the smallest model against what the files say."""
    expected = Expectation.at(folder / "expect.npy", folder / "input.npy")
    if expected is not None:
        expected.check(small_source())


@cache
def small_source() -> Source:
    """Return the smallest model, opened from a file as `export` does."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WEIGHTS
        path.write_bytes(weights())
        return load_source(None, path)
