"""What embed.py and embed_arm64.py share: engines in folders for C++, and their answers beside Python's.

The program that answers, and how it is built, are those of the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.reports import decibels, sqnr_of_images
from convnext_edge import build, embed, export, quantize
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.images.decoding import decode
from convnext_edge.images.image_set import ImageSet
from convnext_edge.targets.base import Logits

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from support.embedded import Build

RUNTIMES = ("openvino", "onnxruntime")
CHUNK = 500  # images that a program answers before it is started again


@dataclass(frozen=True)
class Embedded:
    """An engine, and the folder that it was embedded in."""

    model: str
    runtime: str
    engine: Path
    folder: Path


def embed_int8(model: str, runtime: str, calib: str, workspace: Path) -> Embedded:
    """A named variant with random weights, or the demo's own; calibrated, built and embedded."""
    own = model == "demo"
    exported = export(model, random_weights=not own, workspace=workspace).artifact
    # random weights have no accuracy that more images could keep
    samples = 256 if own else 16
    int8 = quantize(exported, calib=calib, samples=samples, target=runtime, workspace=workspace).artifact
    return embed_built(int8, model, runtime, workspace)


def embed_fp32(model: str, runtime: str, workspace: Path) -> Embedded:
    """As exported, with the weights that come with the package."""
    exported = export(model, target=runtime, workspace=workspace, output=workspace / f"{model}-fp32.onnx")
    return embed_built(exported.artifact, f"{model} in FP32", runtime, workspace)


def embed_built(artifact: Path, model: str, runtime: str, workspace: Path) -> Embedded:
    engine = build(artifact, target=runtime, workspace=workspace).engine
    folder = workspace / f"{model}-{runtime}-cpp".replace(" ", "-")
    return Embedded(model, runtime, engine, embed(engine, lang="cpp", output=folder).directory)


def answers(program: Build, embedded: Embedded, images: ImageSet) -> Iterator[tuple[Logits, Logits]]:
    """Logits of Python, as `validate` has them, and of C++ from the decoded pixels; one image a call each."""
    artifact = open_artifact(embedded.engine)
    described = artifact.description
    batches = images.batches(described.preprocessing, batch=1, dtype=described.input_type)
    with open_session(artifact, embedded.runtime, threads=1) as session:
        for start in range(0, len(images), CHUNK):
            entries = images.entries[start : start + CHUNK]
            pixels = [np.asarray(decode(images.contents.read(entry.name))) for entry in entries]
            answer = program.answer(embedded.folder / "model", "logits", pixels, threads=1)
            expected = np.concatenate([session.run(next(batches).images) for _ in entries])
            yield expected, np.frombuffer(answer, np.float32).reshape(expected.shape)


def compare(program: Build, embedded: Embedded, images: ImageSet) -> dict[str, Any]:
    """C++ held against Python, image by image; sqnr_db: None where all logits are identical."""
    pairs = [np.stack(pair) for pair in answers(program, embedded, images)]
    python, cpp = np.concatenate(pairs, axis=1)
    found = Comparison()
    found.add(python, cpp, np.full(len(cpp), UNLABELLED))
    each = sqnr_of_images(python, cpp)
    print("compared:", embedded.model, embedded.runtime, found.images, found.sqnr_db, file=sys.stderr)
    return {
        "model": embedded.model,
        "runtime": embedded.runtime,
        "data": images.name,
        "images": found.images,
        "identical": found.images - int(np.isfinite(each).sum()),
        "agreement": found.agreement,
        "agreement_ci95": found.agreement_ci95,
        "sqnr_db": found.sqnr_db,
        "median_sqnr_db": decibels(np.median(each)),
        "worst_sqnr_db": decibels(each.min()),
    }
