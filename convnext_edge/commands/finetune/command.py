"""The command: calibrate, train from there, write the artifact."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace, check_suffix, file_name
from convnext_edge.checkpoints.source import Source, find_weights, open_source
from convnext_edge.commands.finetune import processes
from convnext_edge.commands.finetune.data import TrainingImages, check_labels, choose_images
from convnext_edge.commands.finetune.run import Run
from convnext_edge.commands.finetune.training import Plan, Precision
from convnext_edge.errors import UsageError
from convnext_edge.images.image_set import ImageSet
from convnext_edge.network.relu import with_relu
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import note
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.qat import Student, convert_student, make_student
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.start import calibration_images, describe, find_start
from convnext_edge.results import Finetune
from convnext_edge.targets.registry import DEFAULT, find_target

Activation = Literal["gelu", "relu"]
AskedPrecision = Literal["auto", "fp32", "bf16"]
STEPS = 300
BATCH = 64
LEARNING_RATE = 5e-4
CHECKPOINT_EVERY = 50
RELU_SEES = 128  # images, to correct biases by
RELU_BATCH = 8


def finetune(
    model: AnyPath | None = None,
    *,
    train: AnyPath,
    calib: AnyPath | None = None,
    data: AnyPath | None = None,
    samples: int | None = None,
    target: str = DEFAULT,
    recipe: AnyPath | None = None,
    keep_float: Sequence[str] = (),
    checkpoint: AnyPath | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch: int = BATCH,
    learning_rate: float = LEARNING_RATE,
    label_weight: float = 0.0,
    activation: Activation = "gelu",
    precision: AskedPrecision = "auto",
    compile: bool = False,
    checkpoint_every: int = CHECKPOINT_EVERY,
    resume: bool = False,
    data_root: AnyPath | None = None,
    output: AnyPath | None = None,
    workspace: AnyPath | None = None,
    seed: int = 0,
) -> Finetune:
    """Train with quantization in the loop, towards the FP32 reference, and write an INT8 ONNX file.

    model, checkpoint, calib, samples, target, recipe, keep_float: as of `quantize`; calib is `train` by
    default. data: labelled images to measure on, by default a part of `train` that is not trained with.
    epochs or steps: how long, 300 steps of `batch` images by default. label_weight: share of the labels
    in the loss. activation: `relu` takes GELU's place. precision: of the arithmetic of training; `auto` is
    bfloat16 on GPUs that have it. compile: by torch.compile. checkpoint_every: in steps; resume: go on from
    the last checkpoint in the workspace, with the same result as without the break.

    Processes that torchrun started train together: each takes its share of every batch, so that how many
    they are changes the result by rounding alone. The first of them decides on the model and writes; all
    need the images, and all return the same.

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
    if epochs is not None and steps is not None:
        raise UsageError("--epochs and --steps exclude each other", hint="Give one of the two.")
    check_suffix(output, ".onnx")
    accelerator = processes.join(batch)
    place, chosen = Workspace.at(workspace), find_target(target)

    def begin() -> tuple[Artifact, Artifact, Source, Recipe]:
        start = find_start(model, checkpoint, place, seed)
        given = chosen.choose_recipe(recipe, keep_float)
        return start, find_weights(start, place), open_source(start, place), given

    start, weights, source, used_recipe = processes.from_first(accelerator, begin)
    trained, measured = choose_images(train, data, data_root, seed)
    if label_weight:
        check_labels(trained, source.reference.architecture.classes)
    calibrated_with = calibration_images(calib or train, samples, data_root, seed)
    job = Job(
        source=with_activation(source, activation, calibrated_with),
        form=chosen.form,
        input_type=start.description.input_type,
        recipe=used_recipe,
        images=calibrated_with,
    )
    plan = Plan(
        steps=steps or (STEPS if epochs is None else max(round(epochs * len(trained) / batch), 1)),
        learning_rate=learning_rate,
        label_weight=label_weight,
        checkpoint_every=checkpoint_every,
        precision=choose_precision(precision, accelerator),
        compiled=compile,
    )
    images = TrainingImages(trained, source.preprocessing, job.input_type, batch, seed)
    note(
        f"fine-tuning {start.path.name} for {target}: {plan.steps} steps of {batch} images of {trained.name}"
    )
    student = make_student(job)
    recorded = {"activation": activation, "batch": batch, "seed": seed, **plan.settings()}
    description = replace(
        describe(job, student.placement, start, weights),
        target=target,
        method="qat",
        recipe={**job.recipe.to_json(), "finetune": recorded},
    )
    path = output or place.folder / file_name(description, ".onnx")
    settings = {**recorded, **settings_of(job, images, measured, weights), "target": target}
    processes.check_same(settings)
    run = Run(
        student=student.graph,
        teacher=source.reference,
        images=images,
        measured=measured,
        checkpoint=place.folder / "checkpoints" / f"{path.name}.pt",
        settings=settings,
        accelerator=accelerator,
    )
    figures = run.train(plan, resume=resume)
    artifact = processes.from_first(accelerator, lambda: write(student, job, path, description))
    assert description.calibration is not None
    return Finetune(
        artifact=artifact.path,
        target=target,
        method="qat",
        calibration=description.calibration,
        quantized_layers=description.quantized_layers,
        float_layers=description.float_layers,
        seconds=round(time.perf_counter() - started, 3),
        bytes=artifact.bytes,
        skipped_images=processes.skipped_by_any(trained),
        epochs=round(plan.steps * batch / len(trained), 3),
        steps=plan.steps,
        activation=activation,
        data=measured.name,
        images=len(measured),
        **figures,
    )


def write(student: Student, job: Job, path: Path, description: Description) -> Artifact:
    student.graph.to("cpu")
    return write_artifact(path, description, convert_student(student, job).write)


def choose_precision(asked: AskedPrecision, accelerator: Accelerator) -> Precision:
    """`auto` is float32 on a CPU: where most time goes into depthwise layers, bfloat16 measured no faster."""
    if asked != "auto":
        return asked
    on_gpu = accelerator.device.type == "cuda"
    return "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def with_activation(source: Source, activation: Activation, images: ImageSet) -> Source:
    """The model to train: with ReLU, its biases corrected by what `images` show, or as it is."""
    if activation == "gelu":
        return source
    shown = images.subset(min(RELU_SEES, len(images)), seed=0)
    batches = shown.batches(source.preprocessing, batch=RELU_BATCH, dtype="float32")
    tensors = (torch.from_numpy(batch.images) for batch in batches)
    return replace(source, reference=with_relu(source.reference, tensors))


def settings_of(job: Job, images: TrainingImages, measured: ImageSet, weights: Artifact) -> dict[str, Any]:
    """What decides the result beside the options of training, to tell one run from another."""
    return {
        "weights": weights.sha256,
        "recipe": job.recipe.to_json(),
        "input": job.input_type,
        "preprocessing": images.preprocessing.to_json(),
        "training images": digest_of_names(images.images),
        "calibration images": digest_of_names(job.images),
        "measured images": digest_of_names(measured),
    }


def digest_of_names(images: ImageSet) -> str:
    """Of names and labels alone: reading all of ImageNet for its bytes would take minutes."""
    lines = "".join(f"{entry.name}\0{entry.label}\n" for entry in images.entries)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
