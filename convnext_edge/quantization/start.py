"""What a quantizing command begins and ends with: model, recipe and images, and what the sidecar says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact, Calibration, Description
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.source import load_source, save_weights
from convnext_edge.errors import QuantizationError, UsageError
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.paths import AnyPath
from convnext_edge.progress import note
from convnext_edge.quantization.job import Job

SAMPLES = 256  # more changed no range by much in our measurements
HASH_DIGITS = 16


def find_start(model: Path | None, checkpoint: Path | None, workspace: Workspace, seed: int) -> Artifact:
    """The artifact to start from: named, or a checkpoint's weights, or the newest FP32 model."""
    if model is not None and checkpoint is not None:
        raise UsageError("MODEL and --checkpoint exclude each other", hint="Give one of the two.")
    if checkpoint is not None:
        return save_weights(load_source(None, checkpoint, seed=seed), workspace)
    if model is not None:
        return check_start(open_artifact(model))
    start = workspace.newest(
        lambda found: found.kind == "onnx" and found.precision == "fp32",
        what="exported model",
        command="convnext-edge export --variant NAME",
    )
    note(f"taking {start.path}, the newest exported model of the workspace")
    return start


def check_start(artifact: Artifact) -> Artifact:
    if artifact.description.kind == "engine" or artifact.description.precision != "fp32":
        raise QuantizationError(
            f"{artifact.path} is {artifact.description.precision} ({artifact.description.kind}) already",
            hint="Quantize the FP32 model that export wrote.",
        )
    return artifact


def calibration_images(
    calib: AnyPath, samples: int | None, data_root: Path | None, seed: int, *, most: int = SAMPLES
) -> ImageSet:
    """`samples` images of a set, by default `most` of it, or all of fewer."""
    images = open_image_set(calib, data_root=data_root, split="calibration")
    return images.subset(samples or min(most, len(images)), seed)


def describe(job: Job, placement: dict[str, bool], start: Artifact, weights: Artifact) -> Description:
    """What the sidecar says, but for target and method. placement: of each layer, whether it is quantized."""
    images = job.images
    return replace(
        start.description,
        kind="onnx",
        precision=job.recipe.precision,
        recipe=job.recipe.to_json(),
        calibration=Calibration(images.name, len(images), images.digest),
        calibration_hashes=tuple(digest[:HASH_DIGITS] for digest in images.hashes),
        quantized_layers=tuple(name for name, chosen in placement.items() if chosen),
        float_layers=tuple(name for name, chosen in placement.items() if not chosen),
        weights=weights.link,
        parent=start.link,
    )
