"""A run: from the start or from a snapshot to the trained student, with figures of what that brought."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import nn

from convnext_edge.artifacts.artifact import Artifact, Verdict
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.source import Source
from convnext_edge.commands.finetune import snapshots
from convnext_edge.commands.finetune.data import TrainingImages, check_labels, check_task
from convnext_edge.commands.finetune.processes import check_same, from_all, from_first, skipped_by_any
from convnext_edge.commands.finetune.snapshots import Snapshot
from convnext_edge.commands.finetune.training import Plan, Training, make_optimizer
from convnext_edge.commands.finetune.verdict import setbacks
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.evaluation.calibration_check import look_at
from convnext_edge.evaluation.closeness import Closeness
from convnext_edge.evaluation.comparison import Answer, Inputs, compare_answers
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.trust import concerns
from convnext_edge.images.image_set import ImageSet
from convnext_edge.network.convnext import as_tuple
from convnext_edge.network.exporter import running
from convnext_edge.network.relu import with_relu
from convnext_edge.progress import doing, note
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.qat import Student, convert_student, make_student
from convnext_edge.targets.base import Images, Outputs

METHOD = "qat"
MEASURED_BATCH = 32
RELU_SEES = 128  # images, to correct biases by
RELU_BATCH = 8


def finetune_job(
    job: Job,
    plan: Plan,
    trained: ImageSet,
    measured: ImageSet,
    accelerator: Accelerator,
    *,
    output: Path | None,
    workspace: Workspace,
    resume: bool,
) -> tuple[Artifact, dict[str, Any]]:
    """Calibrate the job's model, train it by the plan and write it.

    Returns the artifact, and the fields of the result that training decides.
    """
    check_trainable(plan, trained, job)
    name = job.start.artifact.path.name
    doing(f"fine-tuning {name} for {job.target}: {plan.steps} steps of {plan.batch} images of {trained.name}")
    with snapshots.told_when_stopped(plan.steps, plan.save_every, resume=resume) as saved:
        source = job.source
        sample = look_at(job.images, source)
        for concern in sample.concerns:  # here too, as the result may come hours later
            note(concern)
        images = TrainingImages(trained, source.preprocessing, job.input_type, plan.batch, plan.seed)
        job = replace(job, training=plan.settings())
        if plan.activation == "relu":
            job = with_relu_in(job)
        student = make_student(job)
        settings = settings_of(job, images, measured)
        check_same(settings)
        run = Run(
            student=student.graph,
            teacher=source.reference,
            images=images,
            measured=measured,
            snapshot=workspace.snapshots / f"{job.path(METHOD, output, workspace).name}.pt",
            settings=settings,
            accelerator=accelerator,
            saved=saved,
            source=source,
        )
        found = run.train(plan, resume=resume)
        sqnr_db = partial(sample.sqnr_db, source=source)
        wrong = (*sample.concerns, *setbacks(found))
        done = partial(write, student, job, sqnr_db, wrong, output, workspace)
        artifact, found["calibration_sqnr_db"] = from_first(accelerator, done)
        return artifact, {
            **found,
            "epochs": round(plan.steps * plan.batch / len(trained), 3),
            "steps": plan.steps,
            "activation": plan.activation,
            "data": measured.name,
            "images": len(measured),
            "skipped_images": skipped_by_any(trained),
        }


def check_trainable(plan: Plan, trained: ImageSet, job: Job) -> None:
    """Raise an error of ours for a task that was never trained, and where labels cannot be trained with."""
    check_task(job.source.task)
    if plan.label_weight and job.source.task != "classify":
        raise UsageError(
            f"--label-weight means nothing to task {job.source.task}",
            hint="Leave it out: the reference's answers are enough to train with.",
        )
    if plan.label_weight:
        check_labels(trained, job.start.artifact)


def with_relu_in(job: Job) -> Job:
    """Return the job with ReLU in GELU's place, its biases corrected by what calibration images show."""
    source, images = job.source, job.images
    shown = images.subset(min(RELU_SEES, len(images)), seed=0)
    batches = shown.batches(source.preprocessing, batch=RELU_BATCH, dtype="float32")
    tensors = (torch.from_numpy(batch.images) for batch in batches)
    changed = replace(source, reference=with_relu(source.reference, tensors))
    return replace(job, start=replace(job.start, source=changed))


def write(
    student: Student,
    job: Job,
    sqnr_db: Callable[[Artifact], float | None],
    concerns: tuple[str, ...],
    output: Path | None,
    workspace: Workspace,
) -> tuple[Artifact, float | None]:
    """Convert the trained student and write its artifact; return it with its SQNR to the reference.

    No gate is set on what was trained: weights of few bits may be far from FP32 and right. concerns: what
    is wrong with the calibration images or with the training, as sentences.
    """
    found: list[float | None] = []

    def judge(made: Artifact) -> Verdict:
        found.append(sqnr_db(made))
        return Verdict(passed=True, warnings=concerns)

    student.graph.to("cpu")
    quantized = convert_student(student, job)
    artifact = job.write(quantized, METHOD, output=output, workspace=workspace, judge=judge)
    return artifact, found[0]


def stem_share(images: TrainingImages, source: Source) -> float:
    """Return how many times smaller the weights of a stem are that takes bytes: x / 255 / std is in them."""
    if images.input_type != "uint8" or source.reference.architecture.stem != "patch":
        return 1.0
    std = images.preprocessing.std
    return 1 / (255 * sum(std) / len(std))


def settings_of(job: Job, images: TrainingImages, measured: ImageSet) -> dict[str, Any]:
    """Return all that decides the result, to tell one run from another."""
    return {
        "format": snapshots.FORMAT,
        **(job.training or {}),
        "weights": job.start.weights.sha256,
        "recipe": job.recipe.to_json(),
        "input": job.input_type,
        "preprocessing": images.preprocessing.to_json(),
        "training images": digest_of_names(images.images),
        "calibration images": digest_of_names(job.images),
        "measured images": digest_of_names(measured),
        "target": job.target,
    }


def digest_of_names(images: ImageSet) -> str:
    """Return a SHA-256 of names and labels alone: reading ImageNet for its bytes would take minutes."""
    lines = "".join(f"{entry.name}\0{entry.label_text}\n" for entry in images.entries)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True)
class Run:
    """A student on its way from the first step, or from a snapshot, to the last."""

    student: nn.Module  # trained in place
    teacher: nn.Module  # of the same function
    images: TrainingImages
    measured: ImageSet  # that the figures are taken on
    snapshot: Path  # of the first process, which is the only one to write
    settings: dict[str, Any]  # all that decides the result
    accelerator: Accelerator
    saved: list[int]  # steps that can be gone on from, the last one behind
    source: Source  # of the teacher

    def train(self, plan: Plan, *, resume: bool) -> dict[str, Any]:
        """Train, and return the figures of the result before the first step and after the last."""
        for module in (self.student, self.teacher):
            module.to(self.accelerator.device)
        optimizer = make_optimizer(self.student, plan, stem_share(self.images, self.source))
        found = from_first(self.accelerator, self.load) if resume else None
        if found is None:
            first, before = 0, self.measure("start")
        else:
            first, before = found.step, found.start
            self.saved.append(first)
            self.restore(found, optimizer)

        def save(step: int) -> None:
            if self.accelerator.is_main_process:
                state = (self.student.state_dict(), optimizer.state_dict())
                snapshots.save(Snapshot(step, self.settings, before, *state), self.snapshot)
                self.saved.append(step)

        if first < plan.steps:
            self.training(plan).run(optimizer, first=first, save=save)
        return {**before, **self.measure("final")}

    def restore(self, found: Snapshot, optimizer: torch.optim.Optimizer) -> None:
        """Put the states of a snapshot back; raise ArtifactError where they are those of another model."""
        try:
            self.student.load_state_dict(found.student)
            optimizer.load_state_dict(found.optimizer)
        except Exception as error:  # what PyTorch raises depends on what does not fit
            reason = str(error).splitlines()[0]
            raise ArtifactError(f"{self.snapshot} is damaged: {reason}", hint=snapshots.AGAIN) from error

    def load(self) -> Snapshot | None:
        """Return what an earlier run saved, None where it saved nothing."""
        return snapshots.load(self.snapshot, self.settings)

    def training(self, plan: Plan) -> Training:
        """Return both models in a loop, compiled where the plan says so."""
        student, teacher = self.student, self.teacher
        if plan.compiled:
            student, teacher = (cast(nn.Module, torch.compile(model)) for model in (student, teacher))
        # gradients are averaged over the processes
        return Training(
            self.accelerator.prepare(student), teacher, self.images, plan, self.accelerator, self.source.task
        )

    def measure(self, when: str) -> dict[str, Any]:
        """Return top-1 of reference and student, how often they agree, and how close they are."""
        inputs = Inputs(
            self.measured,
            self.images.preprocessing,
            raw_bytes=self.images.input_type == "uint8",
            batch=MEASURED_BATCH,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        reference, candidate = self.answers_of(self.teacher), self.answers_of(self.student)
        if self.source.task != "classify":
            close = Closeness(self.source.outputs)
            compare_answers(reference, candidate, inputs, close, purpose="measuring")
            return {f"{when}_sqnr_db": worst_sqnr_db(close)}
        sums = Comparison(other_labels=self.measured.other_labels)
        found = compare_answers(reference, candidate, inputs, sums, purpose="measuring")
        total = together(found)
        for concern in concerns(total, self.source.reference.architecture.classes) if when == "start" else ():
            note(concern)
        return figures(total, when)

    def answers_of(self, module: nn.Module) -> Answer:
        """Return what runs a module in FP32: how the student trains is no matter of its artifact."""

        def answer(images: Images) -> Outputs:
            with running(), torch.inference_mode():
                outputs = as_tuple(module(torch.from_numpy(images).to(self.accelerator.device)))
            return tuple(output.cpu().numpy() for output in outputs)

        return answer


def worst_sqnr_db(found: Closeness) -> float | None:
    """Return the SQNR of the worst output over all that all processes saw."""
    whole = Closeness(found.outputs)
    for part in from_all(found):
        whole.merge(part)
    return whole.worst_sqnr_db


def together(found: Comparison) -> Comparison:
    """Return the sums of what all processes found."""
    total = Comparison(other_labels=found.other_labels)
    for part in from_all(found):
        total.merge(part)
    return total


def figures(found: Comparison, when: str) -> dict[str, Any]:
    """Return the fields of the result that a comparison gives. when: `start` or `final`."""
    top1 = [right / found.labelled for right in found.top1] if found.labelled else [None, None]
    return {
        "reference_top1": top1[0],
        f"{when}_top1": top1[1],
        f"{when}_agreement": found.agreement,
        f"{when}_sqnr_db": found.sqnr_db,
    }
