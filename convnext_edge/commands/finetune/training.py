"""The loop: the quantized student learns to answer as its FP32 teacher does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer

from convnext_edge.commands.finetune.data import TrainingBatch, TrainingImages
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.network.convnext import as_tuple
from convnext_edge.network.exporter import running
from convnext_edge.progress import Bars, note
from convnext_edge.tasks import Task

Precision = Literal["fp32", "bf16"]
GRADIENT_NORM = 1.0
SMALLEST = 1e-12  # signal that noise is divided by
WARM_UP = 0.05  # of the steps
NOTES = 20  # lines a run, where there is no terminal for a bar
TEMPERATURE = 4.0  # with it, 200 steps of the demo model at 4 bits won back half as much again as with 1


@dataclass(frozen=True)
class Plan:
    """How a model is trained."""

    steps: int  # in all
    learning_rate: float  # at its peak
    label_weight: float  # share of the loss that goes to the labels; the rest goes to the teacher
    save_every: int  # steps
    precision: Precision = (
        "fp32"  # `bf16`: where autocast finds it safe; weights, gradients, scales stay float32
    )
    compiled: bool = False  # by torch.compile
    activation: str = "gelu"  # `relu` takes GELU's place
    batch: int = 64  # images in a step, of all processes together
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return what decides the result."""
        return {
            "activation": self.activation,
            "batch": self.batch,
            "seed": self.seed,
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "label_weight": self.label_weight,
            "precision": self.precision,
            "compiled": self.compiled,
        }


def choose_precision(asked: Literal["auto", "fp32", "bf16"], accelerator: Accelerator) -> Precision:
    """Return the precision to train in. `auto` is bfloat16 on GPUs that have it.

    It is float32 on a CPU: where most time goes into depthwise layers, bfloat16 measured no faster.
    """
    if asked != "auto":
        return asked
    on_gpu = accelerator.device.type == "cuda"
    return "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def make_optimizer(student: nn.Module, plan: Plan, stem_share: float = 1.0) -> Optimizer:
    """Return AdamW without decay: it would pull weights away from the reference's, and scales to 1.

    stem_share: of the learning rate, for the weights of the stem. AdamW's steps do not shrink with a weight,
    and those of a stem that takes bytes are that much smaller than the others.
    """
    named = dict(student.named_parameters())
    in_stem = {name for name in named if name.startswith("stem.conv.") and name.endswith(".weight")}
    groups = [
        {"params": [value for name, value in named.items() if (name in in_stem) == inside], "share": share}
        for inside, share in ((False, 1.0), (True, stem_share))
    ]
    return AdamW(groups, lr=plan.learning_rate, weight_decay=0.0)


@dataclass(frozen=True)
class Training:
    """A student that learns to answer as its teacher does. Both are on the accelerator's device."""

    student: nn.Module  # takes what its artifact will
    teacher: nn.Module  # the reference
    images: TrainingImages
    plan: Plan
    accelerator: Accelerator
    task: Task = "classify"

    def run(self, optimizer: Optimizer, *, first: int, save: Callable[[int], None]) -> None:
        """Train from step `first` to the last.

        `save` is called with the number of the next step, every `save_every` steps and at the end.
        """
        plan, process, processes = self.plan, self.accelerator.process_index, self.accelerator.num_processes
        batches = self.images.batches(first, plan.steps, process=process, processes=processes)
        with Meter(first, plan.steps, self.images.batch) as meter:
            for step, batch in enumerate(batches, first):
                set_rate(optimizer, learning_rate(step, plan))
                optimizer.zero_grad()
                with running():
                    loss = self.loss(batch)
                    self.accelerator.backward(loss)  # the mean over the processes, of all gradients
                nn.utils.clip_grad_norm_(self.student.parameters(), GRADIENT_NORM)
                optimizer.step()
                if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
                    save(step + 1)
                meter.add(float(loss.detach()))

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Return how far the student's answer is from the teacher's.

        Of a classifier it is the KL divergence, of other tasks `relative_error`. Logits (N, classes) are
        softened by TEMPERATURE, and the loss is multiplied by its square (Hinton et al., 2015,
        arXiv:1503.02531, section 2). Where an image has a label, `label_weight` of the loss is cross-entropy
        instead.
        """
        device, share = self.accelerator.device, self.plan.label_weight
        normalized = batch.normalized(self.images.preprocessing).to(device)
        raw = torch.from_numpy(batch.pixels).to(device) if self.images.input_type == "uint8" else normalized
        with torch.autocast(device.type, torch.bfloat16, enabled=self.plan.precision == "bf16"):
            with torch.no_grad():
                taught = as_tuple(self.teacher(normalized))
            answered = as_tuple(self.student(raw))
        if self.task != "classify":
            return relative_error(answered, taught)
        logits, teacher = answered[0].float(), taught[0].float()
        found, wanted = ((answer / TEMPERATURE).log_softmax(1) for answer in (logits, teacher))
        loss = TEMPERATURE**2 * F.kl_div(found, wanted, reduction="none", log_target=True).sum(1)  # (N,)
        if share:
            labels = batch.labels.to(device)
            labelled = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="none")
            loss = torch.where(labels == UNLABELLED, loss, (1 - share) * loss + share * labelled)
        return loss.mean()


def relative_error(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> Tensor:
    """Return the noise of each output (N, ...) over its signal, as a mean over outputs and images."""
    shares = []
    for output, exact in zip(found, wanted, strict=True):
        noise = (output.float() - exact.float()).square().flatten(1).sum(1)
        shares.append((noise / exact.float().square().flatten(1).sum(1).clamp(min=SMALLEST)).mean())
    return torch.stack(shares).mean()


def learning_rate(step: int, plan: Plan) -> float:
    """Return the rate of a step: a linear warm-up, then half a cosine down to zero."""
    warm_up = math.ceil(WARM_UP * plan.steps)
    if step < warm_up:
        return plan.learning_rate * (step + 1) / warm_up
    done = (step - warm_up) / max(plan.steps - warm_up, 1)
    return plan.learning_rate * (1 + math.cos(math.pi * done)) / 2


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters, of which a group may have a share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


class Meter(Bars):
    """A meter of loss, images a second and time left: beside a bar, or as notes without a terminal."""

    def __init__(self, first: int, steps: int, batch: int) -> None:
        super().__init__()
        self.first, self.step, self.steps, self.batch = first, first, steps, batch
        self.every = math.ceil(steps / NOTES)
        self.loss = 0.0
        self.started = time.perf_counter()
        self.start("fine-tuning", steps - first)

    def add(self, loss: float) -> None:
        """Show a step that was made."""
        self.step += 1
        self.loss = loss if self.step == self.first + 1 else 0.95 * self.loss + 0.05 * loss
        self.advance("fine-tuning")
        self.describe("fine-tuning", f"loss {self.loss:.4f}, {self.speed:.0f} images/s")
        if self.hidden and self.step % self.every == 0:
            left = (self.steps - self.step) * self.batch / self.speed
            note(
                f"step {self.step} of {self.steps}: loss {self.loss:.4f}, {self.speed:.0f} images/s,"
                f" {left:.0f} s left"
            )

    @property
    def speed(self) -> float:
        """Images a second."""
        return (self.step - self.first) * self.batch / (time.perf_counter() - self.started)
