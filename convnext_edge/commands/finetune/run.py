"""A run: from the start or from a checkpoint to the trained student, with figures of what that brought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import nn

from convnext_edge.commands.finetune import checkpoints
from convnext_edge.commands.finetune.checkpoints import Progress
from convnext_edge.commands.finetune.data import TrainingImages
from convnext_edge.commands.finetune.processes import from_all, from_first
from convnext_edge.commands.finetune.training import Plan, Training, make_optimizer
from convnext_edge.evaluation.metrics import Comparison, Logits
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.progress import track
from convnext_edge.targets.base import Images

MEASURED_BATCH = 32


@dataclass(frozen=True)
class Run:
    """student, teacher: of one function; the student is trained in place. settings: all that decides the
    result. checkpoint: the file of the first process, which is the only one to write.
    """

    student: nn.Module
    teacher: nn.Module
    images: TrainingImages
    measured: ImageSet
    checkpoint: Path
    settings: dict[str, Any]
    accelerator: Accelerator

    def train(self, plan: Plan, *, resume: bool) -> dict[str, Any]:
        """Returns the figures of the result: before the first step and after the last."""
        for module in (self.student, self.teacher):
            module.to(self.accelerator.device)
        optimizer = make_optimizer(self.student, plan)
        found = from_first(self.accelerator, self.load) if resume else None
        if found is None:
            first, figures = 0, self.measure("start")
        else:
            first, figures = found.step, found.start
            self.student.load_state_dict(found.student)
            optimizer.load_state_dict(found.optimizer)

        def save(step: int) -> None:
            if self.accelerator.is_main_process:
                state = (self.student.state_dict(), optimizer.state_dict())
                checkpoints.save(Progress(step, self.settings, figures, *state), self.checkpoint)

        if first < plan.steps:
            self.training(plan).run(optimizer, first=first, save=save)
        return {**figures, **self.measure("final")}

    def load(self) -> Progress | None:
        return checkpoints.load(self.checkpoint, self.settings)

    def training(self, plan: Plan) -> Training:
        """Both models, compiled where the plan says so, the student in step with other processes' ones."""
        student, teacher = self.student, self.teacher
        if plan.compiled:
            student, teacher = (cast(nn.Module, torch.compile(model)) for model in (student, teacher))
        return Training(self.accelerator.prepare(student), teacher, self.images, plan, self.accelerator)

    def measure(self, when: str) -> dict[str, Any]:
        """Top-1 of reference and student, and how often they agree; processes take the batches in turns."""
        found = Comparison()
        index, count = self.accelerator.process_index, self.accelerator.num_processes
        preprocessing = self.images.preprocessing
        batches = self.measured.batches(preprocessing, batch=MEASURED_BATCH, dtype="uint8")
        tracked = track(batches, "measuring", total=len(self.measured), step=MEASURED_BATCH)
        for number, batch in enumerate(tracked):
            if number % count == index:
                normalized = as_reference_takes(batch.images, preprocessing)
                given = batch.images if self.images.input_type == "uint8" else normalized
                reference = self.answer(self.teacher, normalized)
                found.add(reference, self.answer(self.student, given), batch.labels)
        return figures(together(found), when)

    def answer(self, module: nn.Module, images: Images) -> Logits:
        """Always in FP32: how the student computes while training is no matter of its artifact."""
        with torch.inference_mode():
            logits: Logits = module(torch.from_numpy(images).to(self.accelerator.device)).cpu().numpy()
        return logits


def together(found: Comparison) -> Comparison:
    """What all processes found."""
    total = Comparison()
    for part in from_all(found):
        total.merge(part)
    return total


def figures(found: Comparison, when: str) -> dict[str, Any]:
    top1 = [right / found.labelled for right in found.top1] if found.labelled else [None, None]
    return {"reference_top1": top1[0], f"{when}_top1": top1[1], f"{when}_agreement": found.agreement}
