"""The command: choose the model, the recipe and the images, run a method, write the artifact."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace, check_suffix, file_name
from convnext_edge.checkpoints.source import find_weights, keep_weights, open_source
from convnext_edge.commands.quantize.gate import Gate, check_gate, quantize_gated
from convnext_edge.commands.quantize.speed import measure_speed
from convnext_edge.errors import UsageError
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.network.lowering import Form
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import note
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.start import calibration_images, describe, find_start
from convnext_edge.quiet import quiet
from convnext_edge.results import Quantize
from convnext_edge.targets.registry import DEFAULT, find_target

Method = Literal["ptq", "nncf", "ort"]
METHODS: tuple[Method, ...] = ("ptq", "nncf", "ort")

# `quantize_static` is called on what anyone exports; NNCF scales the weights of a MatMul along their inputs,
# which ONNX Runtime cannot run, and those of a convolution along their outputs.
FORMS: dict[str, Form] = {"ort": "plain", "nncf": "conv"}


def quantize(
    model: AnyPath | None = None,
    *,
    calib: AnyPath,
    samples: int | None = None,
    target: str = DEFAULT,
    method: Method = "ptq",
    recipe: AnyPath | None = None,
    keep_float: Sequence[str] = (),
    checkpoint: AnyPath | None = None,
    max_drop: float | None = None,
    data: AnyPath | None = None,
    timing: bool = True,
    allow_slower: bool = False,
    data_root: AnyPath | None = None,
    output: AnyPath | None = None,
    workspace: AnyPath | None = None,
    seed: int = 0,
) -> Quantize:
    """Write an INT8 ONNX file for a target.

    model: an artifact of export, by default the newest; or checkpoint: a weights file. calib: image set
    to take ranges from, by name or path; samples: how many of it, 256 (or all of fewer) by default.
    recipe: TOML file that changes single keys of the target's own. keep_float: patterns of layers.
    max_drop: points of top-1 that may be lost on `data` (by default the calibration images): layers go
    back to float (or to the recipe's `fallback`), the costliest first, until that holds, see `passed`.
    timing: time the file against FP32 on the target, where that runs here; slower INT8 does not pass
    unless allow_slower.
    Raises CheckpointError, ImageSetError, RecipeError, QuantizationError, ArtifactError, UsageError.
    """
    model, recipe, checkpoint, data_root, output = (
        as_path(model),
        as_path(recipe),
        as_path(checkpoint),
        as_path(data_root),
        as_path(output),
    )
    started = time.perf_counter()
    if method == "ort" and (recipe is not None or keep_float):
        raise UsageError("method ort takes no recipe", hint="Leave --recipe and --keep-float out.")
    check_gate(max_drop, data, method)
    check_suffix(output, ".onnx")
    chosen = find_target(target)
    place = Workspace.at(workspace)
    start = find_start(model, checkpoint, place, seed)
    images = calibration_images(calib, samples, data_root, seed)
    job = Job(
        source=open_source(start, place),
        form=FORMS.get(method, chosen.form),
        input_type=start.description.input_type,
        recipe=chosen.choose_recipe(recipe, keep_float),
        images=images,
    )
    note(f"quantizing {start.path.name} for {target} with {len(images)} images of {images.name}")
    gate = None if max_drop is None else Gate(max_drop, gate_images(data, data_root, images))
    gated = None
    if gate is None:
        quantized = find_method(method)(job)
    else:
        gated = quantize_gated(job, gate, chosen, start.description)
        quantized, job = gated.quantized, replace(job, recipe=gated.recipe)
    description = describe(job, quantized.placement, start, find_weights(start, place))
    description = replace(description, target=target, method=method)
    path = output or place.folder / file_name(description, ".onnx")
    keep_weights(start, path, place)
    artifact = write_artifact(path, description, quantized.write)
    seconds = round(time.perf_counter() - started, 3)
    speed = measure_speed(artifact, job.source.reference, chosen) if timing else None
    fast_enough = speed is None or allow_slower or not speed.slower
    if not fast_enough:
        note(f"INT8 is slower than FP32 on {target} here. Take FP32: {fp32_command(start, target)}")
    assert description.calibration is not None
    return Quantize(
        artifact=artifact.path,
        target=target,
        method=method,
        calibration=description.calibration,
        quantized_layers=description.quantized_layers,
        float_layers=description.float_layers,
        seconds=seconds,
        bytes=artifact.bytes,
        skipped_images=tuple(image.name for image in images.skipped),
        **({} if gated is None else gated.figures()),
        **({} if speed is None else speed.figures()),
        passed=fast_enough and (gated is None or gated.passed),
    )


def fp32_command(start: Artifact, target: str) -> str:
    """What makes the engine that is faster then."""
    return f"convnext-edge build {shlex.quote(str(start.path))} --target {target}"


def gate_images(data: AnyPath | None, data_root: Path | None, calibration: ImageSet) -> ImageSet:
    """What the drop is measured on."""
    if data is not None:
        return open_image_set(data, data_root=data_root, split="evaluation")
    note("measuring the drop on the calibration images; --data names others")
    return calibration


def find_method(method: Method) -> Callable[[Job], Quantized]:
    """Each method is imported only when chosen: NNCF alone takes seconds."""
    with quiet():
        match method:
            case "ptq":
                from convnext_edge.quantization.ptq import quantize_ptq as run
            case "nncf":
                from convnext_edge.quantization.nncf import quantize_nncf as run
            case "ort":
                from convnext_edge.quantization.ort import quantize_ort as run
    return run
