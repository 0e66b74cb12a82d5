"""The folder of `--lang android`: a Gradle project with a Kotlin library, a sample, and the engine."""

from __future__ import annotations

import shutil
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.embed.bundle import fill_readme, write_bundle
from convnext_edge.commands.embed.mobile import check_runtime, write_sample
from convnext_edge.commands.embed.steps import Steps
from convnext_edge.targets.kernels import Kernels
from convnext_edge.tasks import Task

SOURCES = Path(__file__).parents[2] / "embed_sources" / "android"
BUILD = "gradle assembleDebug"
# What an application calls
CALLS: dict[Task, str] = {
    "classify": "for (found in model.classify(image, 5)) println(found)",
    "multilabel": "for (found in model.multilabel(image)) println(found)",
    "regress": "val values: FloatArray = model.regress(image)",
    "embed": "val embedding: FloatArray = model.embed(image) // `cosine` compares two",
    "detect": 'for (found in model.detect(image)) println("${found.label} ${found.score} ${found.box}")',
    "segment": "val map: LabelMap = model.segment(image) // map.classes: one for each pixel",
    "features": 'for (map in model.features(image)) println("${map.name} ${map.shape}")',
}


def write_android(engine: Artifact, labels: Path | None, folder: Path, kernels: Kernels) -> Steps:
    """Fill the empty `folder`, and return how it is built there.

    Raises UsageError for an engine of another runtime, or a wrong number of labels.
    """
    check_runtime(engine, "Android")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    assets = folder / "classifier" / "src" / "main" / "assets"
    assets.mkdir()
    write_bundle(engine, labels, assets / "model", kernels)
    write_sample(engine, folder / "app" / "src" / "main" / "assets")
    fill_readme(engine, folder, kernels, build=BUILD, call=CALLS[engine.description.task])
    return Steps(BUILD)
