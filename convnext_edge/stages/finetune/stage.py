"""The command: calibrate, train from there, write the artifact."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from convnext_edge.artifact import Artifact, write_artifact
from convnext_edge.errors import ImageSetError, UsageError
from convnext_edge.images import ImageSet, as_reference_takes, open_image_set
from convnext_edge.metrics import Comparison
from convnext_edge.model.convnext import Block, ConvNeXt
from convnext_edge.progress import note, track
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.qat import convert_student, make_student
from convnext_edge.quantization.start import calibration_images, choose_recipe, describe, find_start
from convnext_edge.results import Finetune
from convnext_edge.sources import find_weights, open_source
from convnext_edge.stages.finetune import checkpoints
from convnext_edge.stages.finetune.checkpoints import Progress
from convnext_edge.stages.finetune.data import TrainingImages, hold_out
from convnext_edge.stages.finetune.training import Plan, make_optimizer, train_student
from convnext_edge.targets import DEFAULT, find_target
from convnext_edge.targets.torch import TorchSession
from convnext_edge.workspace import Workspace, check_suffix, file_name

Activation = Literal["gelu", "relu"]
STEPS = 300
BATCH = 64
LEARNING_RATE = 5e-4
CHECKPOINT_EVERY = 50
MEASURED_BATCH = 32


def finetune(
    model: Path | None = None,
    *,
    train: str,
    calib: str | None = None,
    data: str | None = None,
    samples: int | None = None,
    target: str = DEFAULT,
    recipe: Path | None = None,
    keep_float: Sequence[str] = (),
    checkpoint: Path | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch: int = BATCH,
    learning_rate: float = LEARNING_RATE,
    label_weight: float = 0.0,
    activation: Activation = "gelu",
    checkpoint_every: int = CHECKPOINT_EVERY,
    resume: bool = False,
    data_root: Path | None = None,
    output: Path | None = None,
    workspace: Path | None = None,
    seed: int = 0,
) -> Finetune:
    """Train with quantization in the loop, towards the FP32 reference, and write an INT8 ONNX file.

    model, checkpoint, calib, samples, target, recipe, keep_float: as of `quantize`; calib is `train` by
    default. data: labelled images to measure on, by default a part of `train` that is not trained with.
    epochs or steps: how long, 300 steps of `batch` images by default. label_weight: share of the labels
    in the loss. activation: `relu` takes GELU's place. checkpoint_every: in steps; resume: go on from the
    last checkpoint in the workspace, with the same result as without the break.
    Raises CheckpointError, ImageSetError, RecipeError, QuantizationError, ArtifactError, UsageError.
    """
    started = time.perf_counter()
    if epochs is not None and steps is not None:
        raise UsageError("--epochs and --steps exclude each other", hint="Give one of the two.")
    check_suffix(output, ".onnx")
    place = Workspace.at(workspace)
    start = find_start(model, checkpoint, place, seed)
    weights = find_weights(start, place)
    source = open_source(start, place)
    trained, measured = choose_images(train, data, data_root, seed)
    if label_weight:
        check_labels(trained, source.reference.architecture.classes)
    chosen = find_target(target)
    job = Job(
        source=replace(source, reference=with_activation(source.reference, activation)),
        form=chosen.form,
        input_type=start.description.input_type,
        recipe=choose_recipe(chosen, recipe, keep_float),
        images=calibration_images(calib or train, samples, data_root, seed),
    )
    plan = Plan(
        steps=steps or (STEPS if epochs is None else max(round(epochs * len(trained) / batch), 1)),
        learning_rate=learning_rate,
        label_weight=label_weight,
        checkpoint_every=checkpoint_every,
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
    settings = {**recorded, **settings_of(job, images, weights), "target": target}
    run = Run(
        student=student.graph,
        reference=source.reference,
        measured=measured,
        checkpoint=place.folder / "checkpoints" / f"{path.name}.pt",
        settings=settings,
    )
    figures = run.train(images, plan, resume=resume)
    artifact = write_artifact(path, description, convert_student(student, job).write)
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
        skipped_images=tuple(image.name for image in trained.skipped),
        epochs=round(plan.steps * batch / len(trained), 3),
        steps=plan.steps,
        activation=activation,
        data=measured.name,
        images=len(measured),
        **figures,
    )


@dataclass(frozen=True)
class Run:
    """Training from the start, or from a checkpoint. settings: all that decides the result."""

    student: nn.Module
    reference: ConvNeXt
    measured: ImageSet
    checkpoint: Path
    settings: dict[str, Any]

    def train(self, images: TrainingImages, plan: Plan, *, resume: bool) -> dict[str, Any]:
        """Returns the figures of the result: before the first step and after the last."""
        optimizer = make_optimizer(self.student, plan)
        found = checkpoints.load(self.checkpoint, self.settings) if resume else None
        if found is None:
            first, figures = 0, self.measure(images, "start")
        else:
            first, figures = found.step, found.start
            self.student.load_state_dict(found.student)
            optimizer.load_state_dict(found.optimizer)

        def save(step: int) -> None:
            state = (self.student.state_dict(), optimizer.state_dict())
            checkpoints.save(Progress(step, self.settings, figures, *state), self.checkpoint)

        if first < plan.steps:
            train_student(self.student, self.reference, images, optimizer, plan, first=first, save=save)
        return {**figures, **self.measure(images, "final")}

    def measure(self, images: TrainingImages, when: str) -> dict[str, Any]:
        """Top-1 of reference and student, and how often they agree."""
        found = Comparison()
        sessions = TorchSession(self.reference), TorchSession(self.student)
        batches = self.measured.batches(images.preprocessing, batch=MEASURED_BATCH, dtype="uint8")
        for batch in track(batches, "measuring", total=len(self.measured), step=MEASURED_BATCH):
            normalized = as_reference_takes(batch.images, images.preprocessing)
            given = batch.images if images.input_type == "uint8" else normalized
            found.add(sessions[0].run(normalized), sessions[1].run(given), batch.labels)
        top1 = [right / found.labelled for right in found.top1] if found.labelled else [None, None]
        return {"reference_top1": top1[0], f"{when}_top1": top1[1], f"{when}_agreement": found.agreement}


def choose_images(
    train: str, data: str | None, data_root: Path | None, seed: int
) -> tuple[ImageSet, ImageSet]:
    """Images to train with, and images to measure on."""
    images = open_image_set(train, data_root=data_root, split="calibration")
    if data is not None:
        return images, open_image_set(data, data_root=data_root, split="evaluation")
    trained, measured = hold_out(images, seed)
    note(f"measuring on {len(measured)} images of {images.name}, which are not trained with")
    return trained, measured


def check_labels(images: ImageSet, classes: int) -> None:
    """Raises ImageSetError for labels that the model cannot learn from."""
    if not images.labelled:
        raise ImageSetError(
            f"{images.name} has no labels to give a weight to",
            hint="Leave --label-weight out: the reference's answers are enough.",
        )
    largest = max(entry.label for entry in images.entries)
    if largest >= classes:
        raise ImageSetError(
            f"{images.name} has label {largest}, the model tells {classes} classes apart",
            hint="Leave --label-weight out, or give images of the model's own classes.",
        )


def with_activation(reference: ConvNeXt, activation: Activation) -> ConvNeXt:
    """The model with another activation in its blocks; itself for GELU."""
    if activation == "gelu":
        return reference
    changed = deepcopy(reference)
    for module in changed.modules():
        if isinstance(module, Block):
            module.act = nn.ReLU()
    return changed


def settings_of(job: Job, images: TrainingImages, weights: Artifact) -> dict[str, Any]:
    """What decides the result beside the options of training, to tell one run from another."""
    return {
        "weights": weights.sha256,
        "recipe": job.recipe.to_json(),
        "input": job.input_type,
        "preprocessing": images.preprocessing.to_json(),
        "training images": digest_of_names(images.images),
        "calibration images": digest_of_names(job.images),
    }


def digest_of_names(images: ImageSet) -> str:
    """Of names and labels alone: reading all of ImageNet for its bytes would take minutes."""
    lines = "".join(f"{entry.name}\0{entry.label}\n" for entry in images.entries)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
