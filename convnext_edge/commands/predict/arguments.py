"""Which of the arguments of `predict` is the model: it may be left out, and pictures stand in its place."""

from __future__ import annotations

import os
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.sidecar import read_sidecar
from convnext_edge.artifacts.store import is_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.predict.given import Pictures, Pixels
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.candidates import find_candidate, target_of
from convnext_edge.images.pictures import names_pictures
from convnext_edge.paths import AnyPath
from convnext_edge.progress import note

# Of models: ours, and the checkpoints of others, about which opening says what to do.
SUFFIXES = (
    *(".onnx", ".xml", ".safetensors", ".pt2", ".ort", ".engine", ".pte", ".tflite", ".mlpackage.zip"),
    *(".pth", ".pt", ".bin", ".ckpt"),
)


def part(engine: AnyPath | None, pictures: Pictures) -> tuple[AnyPath | None, list[AnyPath | Pixels]]:
    """Return the model, None where none is named, and the pictures.

    Raises UsageError where no picture is named, or a model among the pictures.
    """
    given: list[AnyPath | Pixels] = []
    if isinstance(pictures, str | os.PathLike | Pixels):
        given.append(pictures)
    else:
        given += pictures
    if engine is not None and not names_model(engine):
        given.insert(0, engine)
        engine = None
    if not given:
        asked = f"{engine} is a model, and no picture is named" if engine else "no picture is named"
        raise UsageError(
            asked,
            hint="Name pictures, folders or archives of pictures: convnext-edge predict ENGINE photo.jpg",
        )
    for item in given:
        if isinstance(item, str | os.PathLike) and names_model(item):
            raise UsageError(
                f"{os.fspath(item)} is a model, and stands where pictures are named",
                hint="Name one model, before the pictures.",
            )
    return engine, given


def names_model(path: AnyPath) -> bool:
    """Return whether a path is that of a model: it has a sidecar, or the suffix of one.

    Pictures may have files like sidecars, too: those of Google Takeout do.
    """
    found = Path(path)
    return not names_pictures(found) and (found.name.lower().endswith(SUFFIXES) or is_artifact(found))


def find_model(named: AnyPath | None, target: str | None, space: Workspace) -> tuple[Artifact, str]:
    """Return the model that is named, or the newest of the workspace that fits, and what it runs on.

    Weights run in PyTorch. Raises ArtifactError, UsageError.
    """
    if named is not None and target is None and holds_weights(Path(named)):
        note(f"{named} holds weights, which PyTorch runs")
        target = "torch"
    artifact = find_candidate(named, target, space)
    return artifact, target_of(artifact, target)


def holds_weights(path: Path) -> bool:
    """Return whether an artifact is weights alone, which no other runtime takes."""
    return is_artifact(path) and read_sidecar(path).description.kind == "weights"
