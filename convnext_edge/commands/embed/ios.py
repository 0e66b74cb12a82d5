"""The folder of `--lang ios`: a Swift package with a library, a sample, the engine, and test data."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.embed.bundle import fill_readme, write_bundle
from convnext_edge.commands.embed.mobile import check_runtime, write_sample
from convnext_edge.commands.embed.steps import Steps
from convnext_edge.images.transform import preprocess
from convnext_edge.targets.kernels import Kernels
from convnext_edge.tasks import Task

SOURCES = Path(__file__).parents[2] / "embed_sources" / "ios"
BUILD = "swift build"
# What an application calls
CALLS: dict[Task, str] = {
    "classify": "for found in try model.classify(image, topK: 5) { print(found.probability, found.label) }",
    "multilabel": "for found in try model.multilabel(image) { print(found.probability, found.label) }",
    "regress": "let values: [Float] = try model.regress(image)",
    "embed": "let embedding: [Float] = try model.embed(image)  // `cosine` compares two",
    "detect": "for found in try model.detect(image) { print(found.label, found.score, found.box) }",
    "segment": "let map: LabelMap = try model.segment(image)  // map.classes: one for each pixel",
    "features": "for map in try model.features(image) { print(map.name, map.shape) }",
}
# Width and height of test images: enlarged; shrunk, rows first; shrunk, columns first
CASES = ((7, 5), (301, 220), (90, 400))


def write_ios(engine: Artifact, labels: Path | None, folder: Path, kernels: Kernels) -> Steps:
    """Fill the empty `folder`, and return how it is built there.

    Raises UsageError for an engine of another runtime, or a wrong number of labels.
    """
    check_runtime(engine, "iOS")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    write_bundle(engine, labels, folder / "Sources" / "ConvNeXtEdge" / "model", kernels)
    write_sample(engine, folder / "Sources" / "ConvNeXtEdgeSample")
    (folder / "Tests" / "ConvNeXtEdgeTests" / "squares.bin").write_bytes(squares(engine))
    fill_readme(engine, folder, kernels, build=BUILD, call=CALLS[engine.description.task])
    return Steps(BUILD)


def squares(engine: Artifact) -> bytes:
    """Return images of noise, and the squares that Python makes of them, to test the Swift library with.

    For each image: width and height (32 bits, little-endian), its RGB bytes, and those of the square.
    """
    made = b""
    for width, height in CASES:
        noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
        square = preprocess(Image.fromarray(noise), engine.description.preprocessing)
        made += struct.pack("<II", width, height) + noise.tobytes() + square.tobytes()
    return made
