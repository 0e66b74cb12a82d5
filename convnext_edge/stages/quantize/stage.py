"""The command: choose the model, the recipe and the images, run a method, write the artifact."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from convnext_edge.artifact import Artifact, Calibration, Description, open_artifact, write_artifact
from convnext_edge.errors import QuantizationError, UsageError
from convnext_edge.images import ImageSet, open_image_set
from convnext_edge.progress import note
from convnext_edge.quiet import quiet
from convnext_edge.recipe import Recipe, read_recipe
from convnext_edge.results import Quantize
from convnext_edge.sources import find_weights, load_source, open_source, save_weights
from convnext_edge.stages.quantize.job import Job, Quantized
from convnext_edge.targets import DEFAULT, Target, find_target
from convnext_edge.workspace import Workspace, file_name

Method = Literal["ptq", "nncf", "ort"]
METHODS: tuple[Method, ...] = ("ptq", "nncf", "ort")
SAMPLES = 256  # more changed no range by much in our measurements
HASH_DIGITS = 16


def quantize(
    model: Path | None = None,
    *,
    calib: str,
    samples: int | None = None,
    target: str = DEFAULT,
    method: Method = "ptq",
    recipe: Path | None = None,
    keep_float: Sequence[str] = (),
    checkpoint: Path | None = None,
    data_root: Path | None = None,
    output: Path | None = None,
    workspace: Path | None = None,
    seed: int = 0,
) -> Quantize:
    """Write an INT8 ONNX file for a target.

    model: an artifact of export, by default the newest; or checkpoint: a weights file. calib: image set
    to take ranges from, by name or path; samples: how many of it, 256 (or all of fewer) by default.
    recipe: TOML file that changes single keys of the target's own. keep_float: patterns of layers.
    Raises CheckpointError, ImageSetError, RecipeError, QuantizationError, ArtifactError, UsageError.
    """
    started = time.perf_counter()
    place = Workspace.at(workspace)
    start = find_start(model, checkpoint, place, seed)
    images = calibration_images(calib, samples, data_root, seed)
    chosen = find_target(target)
    job = Job(
        source=open_source(start, place),
        form="plain" if method == "ort" else chosen.form,
        input_type=start.description.input_type,
        recipe=choose_recipe(chosen, recipe, keep_float, method),
        images=images,
    )
    note(f"quantizing {start.path.name} for {target} with {len(images)} images of {images.name}")
    quantized = find_method(method)(job)
    description = describe(job, quantized, start, find_weights(start, place))
    description = replace(description, target=target, method=method)
    artifact = write_artifact(
        output or place.folder / file_name(description, ".onnx"), description, quantized.write
    )
    assert description.calibration is not None
    return Quantize(
        artifact=artifact.path,
        target=target,
        method=method,
        calibration=description.calibration,
        quantized_layers=description.quantized_layers,
        float_layers=description.float_layers,
        seconds=round(time.perf_counter() - started, 3),
        bytes=artifact.bytes,
        skipped_images=tuple(image.name for image in images.skipped),
    )


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


def choose_recipe(target: Target, path: Path | None, keep_float: Sequence[str], method: Method) -> Recipe:
    """The target's recipe with the changes of a file and of --keep-float."""
    if method == "ort" and (path is not None or keep_float):
        raise UsageError("method ort takes no recipe", hint="Leave --recipe and --keep-float out.")
    recipe = target.recipe if path is None else read_recipe(path, target.recipe)
    return replace(recipe, keep_float=(*recipe.keep_float, *keep_float))


def calibration_images(calib: str, samples: int | None, data_root: Path | None, seed: int) -> ImageSet:
    images = open_image_set(calib, data_root=data_root, split="calibration")
    return images.subset(samples or min(SAMPLES, len(images)), seed)


def find_method(method: Method) -> Callable[[Job], Quantized]:
    """Each method is imported only when chosen: NNCF alone takes seconds."""
    with quiet():
        match method:
            case "ptq":
                from convnext_edge.stages.quantize.ptq import quantize_ptq as run
            case "nncf":
                from convnext_edge.stages.quantize.nncf import quantize_nncf as run
            case "ort":
                from convnext_edge.stages.quantize.ort import quantize_ort as run
    return run


def describe(job: Job, quantized: Quantized, start: Artifact, weights: Artifact) -> Description:
    """What the sidecar says, but for target and method."""
    bits, images, placement = job.recipe.weight_bits, job.images, quantized.placement
    return replace(
        start.description,
        kind="onnx",
        precision="int8" if bits == 8 else f"w{bits}a8",
        recipe=job.recipe.to_json(),
        calibration=Calibration(images.name, len(images), images.digest),
        calibration_hashes=tuple(digest[:HASH_DIGITS] for digest in images.hashes),
        quantized_layers=tuple(name for name, chosen in placement.items() if chosen),
        float_layers=tuple(name for name, chosen in placement.items() if not chosen),
        weights=weights.link,
        parent=start.link,
    )
