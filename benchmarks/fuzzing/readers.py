"""Every reader of the package: how its input is damaged, and what is called on it.

A reader is right where it returns, or raises an error of `convnext_edge.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from benchmarks.fuzzing import beside, checkpoints, dense, engines, graphs, labels, sets
from benchmarks.fuzzing.artifacts import (
    DIGEST,
    PREPROCESSING,
    description,
    read_class_names,
    read_graph,
    read_results,
    read_sidecars,
    record,
    sidecar,
)
from benchmarks.fuzzing.edits import damaged, tables, texts
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.commands.compare.grid.file import GridShape, read_grid
from convnext_edge.commands.compare.grid.identity import FORMAT, LENGTH
from convnext_edge.commands.compare.grid.kept import find_part
from convnext_edge.commands.embed.web import LOADED, SCRIPT, read_version
from convnext_edge.commands.finetune import snapshots
from convnext_edge.commands.predict.outputs import is_ours, npy_header
from convnext_edge.commands.rows import figures_of, make_row
from convnext_edge.images.decoding import decode
from convnext_edge.images.definitions import read_definition
from convnext_edge.images.opening import open_path
from convnext_edge.images.pictures import Loader, find_pictures
from convnext_edge.images.transform import preprocess
from convnext_edge.quantization.recipe import Recipe, read_recipe

Files = dict[str, bytes]


@dataclass(frozen=True)
class Reader:
    """One kind of input, and what reads it."""

    inputs: st.SearchStrategy[Files]  # content of each file by its name in an empty folder
    read: Callable[[Path], object]  # is given that folder
    slow: bool = False  # where one input takes more than some milliseconds


def one(name: str, contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    """Return the strategy of a single file."""
    return contents.map(lambda content: {name: content})


def part() -> Any:
    """Return the JSON of a part of a cell: what `validate` found."""
    date = "2026-01-01T00:00:00+00:00"
    return {"format": FORMAT, "kind": "check", "date": date, "value": record()["result"]}


# --- what is called --------------------------------------------------------------------------------


def read_part(folder: Path) -> None:
    """Take what is kept of a cell, into a row."""
    found = find_part("check", "0" * LENGTH, Workspace(folder))
    if found is not None:
        figures_of([make_row({}, found, None)])


def read_weights(path: Path) -> None:
    """Load a checkpoint as `export` does, up to its answer."""
    load_source(None, path)


def read_set(path: Path) -> None:
    """Open a set of images, and read all of it."""
    images = open_path(path, name="set")
    for _ in images.batches(PREPROCESSING, batch=2, dtype="float32", workers=1):
        pass
    assert len(images.digest) == len(DIGEST)


def read_picture(path: Path) -> None:
    """Decode an image to what a model takes, also as `predict` does, which reads its EXIF too."""
    for picture in find_pictures([path]):
        Loader(PREPROCESSING).load(picture)
    preprocess(decode(path.read_bytes()), PREPROCESSING)


def outputs() -> bytes:
    """Return a table as `predict` saves it."""
    return npy_header((2, 3)) + bytes(2 * 3 * 4)


def web_package(content: bytes) -> Files:
    """Return npm's package with another package.json."""
    return {"package.json": content, **{f"dist/{name}": b"" for name in (SCRIPT, *LOADED)}}


def annotated(content: bytes) -> Files:
    """Return a picture with annotations in COCO's format."""
    return {"1.png": sets.photo(), "annotations.json": content}


DEFINITION = b'description = "x"\nobtain = "y"\nalso_called = ["z"]\nrecognized_by = ["*.png"]\n[splits]\n'
RECIPE = b'activation = "uint8"\nrange = "mse"\nweight_bits = 8\nkeep_float = ["head"]\noutside = 1e-5\n'
GRID = (
    b'variants = ["demo"]\nresolutions = [32]\nmethods = ["fp32"]\ntargets = ["openvino"]\nseed = 1\n'
    b'[images]\ncalib = "demo"\ndata = "demo"\nlimit = 8\nclass_order = "text"\n[timing]\nthreads = 1\n'
)
GRID_KEYS = (*GridShape.model_fields, "images.calib", "images.data", "timing.runs")
PART = f"cells/check-{'0' * LENGTH}.json"
RECIPE_KEYS = tuple(Recipe().to_json())


def _either(*strategies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(*strategies)


def _sets() -> Iterator[tuple[str, Reader]]:
    for suffix, contents in (("tar", sets.tars()), ("tgz", sets.tgzs()), ("zip", sets.zips())):
        yield suffix, Reader(one(f"set.{suffix}", contents), _at(read_set, f"set.{suffix}"))
    yield "parquet", Reader(one("set.parquet", labels.parquets()), _at(read_set, "set.parquet"))
    yield "shards", Reader(labels.shards(), read_set)
    yield "label files", Reader(labels.label_files(), read_set)
    yield "label tables", Reader(labels.label_tables(), read_set)
    yield "synsets", Reader(labels.synset_files(), read_set)
    yield "annotations", Reader(texts(dense.coco_file()).map(annotated), dense.judge_annotations)
    yield "label maps", Reader(dense.label_maps(), dense.read_label_maps)
    yield "devkits", Reader(labels.devkits(), read_set)


def _at(read: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    return lambda folder: read(folder / name)


def _graph(target: str, suffix: str) -> Reader:
    return Reader(
        one("model.onnx", graphs.models()),
        lambda folder: read_graph(folder / "model.onnx", target, suffix),
        slow=True,
    )


def _engine(target: str, suffix: str) -> Reader:
    return Reader(
        st.deferred(lambda: engines.engines(target, suffix)),
        lambda folder: engines.read_engine(folder, target, suffix, description("engine")),
        slow=True,
    )


READERS: dict[str, Reader] = {
    "pth": Reader(one("weights.pth", checkpoints.pickles()), _at(read_weights, "weights.pth")),
    "safetensors": Reader(
        one("weights.safetensors", checkpoints.safetensors_files()), _at(read_weights, "weights.safetensors")
    ),
    "detectors": Reader(st.deferred(dense.detectors), dense.read_detector, slow=True),
    "folders": Reader(checkpoints.folders(), read_weights),
    "onnx weights": Reader(
        one("weights.onnx", graphs.models(graphs.small_convnext)), _at(read_weights, "weights.onnx")
    ),
    "snapshots": Reader(
        one("run.pt", checkpoints.snapshots()),
        lambda folder: snapshots.load(folder / "run.pt", {"format": 2, "seed": 0}),
    ),
    "sidecars": Reader(
        texts(sidecar()).map(lambda content: {"model.onnx": b"", "model.onnx.json": content}), read_sidecars
    ),
    "results": Reader(one("results/validate.json", texts(record())), read_results),
    "kept answers": Reader(dense.kept_answers(), dense.read_kept_answers),
    "cells": Reader(one(PART, texts(part())), read_part),
    "grids": Reader(
        one("grid.toml", _either(tables(GRID_KEYS), damaged(GRID))),
        lambda folder: read_grid(folder / "grid.toml", folder, None),
    ),
    "recipes": Reader(
        one("recipe.toml", _either(tables(RECIPE_KEYS), damaged(RECIPE))),
        lambda folder: read_recipe(folder / "recipe.toml", Recipe()),
    ),
    "definitions": Reader(
        one("set.toml", _either(tables(("description", "obtain", "splits")), damaged(DEFINITION))),
        lambda folder: read_definition(folder / "set.toml"),
    ),
    "class names": Reader(
        one("labels.txt", damaged(b"cat\ndog\ncow\n")), _at(read_class_names, "labels.txt")
    ),
    "package.json": Reader(
        texts({"name": "onnxruntime-web", "version": "1.30.0"}).map(web_package), read_version
    ),
    "outputs.npy": Reader(one("outputs.npy", damaged(outputs())), _at(is_ours, "outputs.npy")),
    "outputs.safetensors": Reader(
        one("outputs.safetensors", checkpoints.safetensors_files()), _at(is_ours, "outputs.safetensors")
    ),
    **{
        name: Reader(one(name, texts(told)), beside.read_preparation)
        for name, told in beside.PREPARATIONS.items()
    },
    "configs of weights": Reader(beside.configs(), beside.read_configured),
    "hub": Reader(beside.hub_files(), beside.read_hub),
    "classes": Reader(beside.class_files(), beside.read_classes),
    "arrays": Reader(beside.expectations(), beside.read_expectation),
    "images": Reader(one("picture", sets.pictures()), _at(read_picture, "picture")),
    **dict(_sets()),
    "onnx in onnxruntime": _graph("onnxruntime", ".opt.onnx"),
    "onnx in openvino": _graph("openvino", ".xml"),
    "onnx in torch": _graph("torch", ".pt2"),
    "engine of openvino": _engine("openvino", ".xml"),
    "engine of ort-mobile": _engine("ort-mobile", ".ort"),
}
