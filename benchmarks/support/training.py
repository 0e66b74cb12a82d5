"""Training of small ConvNeXts on a CPU: the steps that all models of this project go through.

Muon for the pointwise layers and AdamW for the rest, one schedule (linear warm-up, cosine to zero), bfloat16,
label smoothing, and an exponential moving average of the weights, which is what counts in the end. At the end
of each epoch all of it is written to a snapshot, from which the same call goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.support.depthwise import with_fast_depthwise
from benchmarks.support.fast_grn import with_fast_grn
from benchmarks.support.pictures import Augmentation, Pictures
from convnext_edge.network.convnext import Block, ConvNeXt

GRN_RATE = 10  # times the rate of the rest: its weights are the larger ones
LOG_STEPS = 50


@dataclass(frozen=True)
class Plan:
    """How long and how fast a model is trained. rate: the peak. small: share of it at half the resolution."""

    epochs: float = 40.0
    batch: int = 256
    rate: float = 4e-3
    decay: float = 0.05
    smoothing: float = 0.05
    small: float = 0.0
    average: float = 0.998  # decay of the moving average of weights
    seed: int = 0


def initialize(model: ConvNeXt) -> None:
    """Kaiming weights and a layer scale of 1: learns far faster here than the paper's small constants."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, Block) and module.gamma is not None:
            nn.init.ones_(module.gamma)
            # so that the residual sum grows slowly with depth at the start
            module.pwconv2.weight.data.mul_(0.5)


def optimizers(model: ConvNeXt, plan: Plan) -> list[torch.optim.Optimizer]:
    named = dict(model.named_parameters())
    pointwise = [w for n, w in named.items() if "pwconv" in n and n.endswith("weight")]
    grn = [w for n, w in named.items() if ".grn." in n]
    chosen = {id(w) for w in (*pointwise, *grn)}
    rest = [p for p in named.values() if id(p) not in chosen]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": plan.decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        *([{"params": grn, "weight_decay": 0.0, "lr": GRN_RATE * plan.rate}] if grn else []),
    ]
    muon = torch.optim.Muon(pointwise, lr=plan.rate, weight_decay=plan.decay, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(groups, lr=plan.rate)]


def schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / (steps - warm))))


@torch.no_grad()
def accuracy(model: nn.Module, pictures: Pictures, augmentation: Augmentation) -> float:
    """The share of images whose class the model says, in float32."""
    model.eval()
    hits = 0
    for x, y in zip(torch.split(pictures.images, 250), torch.split(pictures.labels, 250), strict=True):
        hits += int((model(augmentation.normalize(x)).argmax(1) == y).sum())
    model.train()
    return hits / len(pictures)


def channels_last(model: ConvNeXt) -> ConvNeXt:
    """The same model, its weights in the order in which convolutions are fast on a CPU."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's types know no such option
    return model


def average_weights(model: ConvNeXt, decay: float, *, buffers: bool = False) -> AveragedModel:
    """The exponential moving average of a model's weights, and of its buffers where asked for."""
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=buffers)


def averaged(average: AveragedModel) -> ConvNeXt:
    """The model that has the averaged weights."""
    found = average.module
    assert isinstance(found, ConvNeXt)
    return found


class Training:
    """A model in training, and all that the next step depends on."""

    def __init__(
        self, model: ConvNeXt, pictures: Pictures, augmentation: Augmentation, plan: Plan, *, compiled: bool
    ) -> None:
        self.pictures, self.augmentation, self.plan = pictures, augmentation, plan
        self.epoch_steps = len(pictures) // plan.batch
        self.steps = int(plan.epochs * self.epoch_steps)
        self.done = 0
        self.model = channels_last(with_fast_grn(with_fast_depthwise(model)))
        self.run = torch.compile(self.model) if compiled else self.model
        self.average = average_weights(self.model, plan.average)
        self.generator = torch.Generator().manual_seed(plan.seed)
        self.chain = optimizers(self.model, plan)
        self.schedulers = [
            torch.optim.lr_scheduler.LambdaLR(o, lambda step: schedule(step, self.steps)) for o in self.chain
        ]

    @property
    def averaged(self) -> ConvNeXt:
        return averaged(self.average)

    def one_epoch(self) -> None:
        """Go through the images once, or through what is left of the last epoch."""
        order = torch.randperm(len(self.pictures), generator=self.generator)
        started, losses = time.monotonic(), []
        count = min(self.epoch_steps, self.steps - self.done)
        for step in range(count):
            losses.append(self.one_step(order[step * self.plan.batch :][: self.plan.batch]))
            if (step + 1) % LOG_STEPS == 0:
                speed = self.plan.batch * (step + 1) / (time.monotonic() - started)
                loss = np.mean(losses[-LOG_STEPS:])
                print(f"step {self.done}/{self.steps} loss {loss:.3f} {speed:.0f} images/s", flush=True)

    def one_step(self, chosen: Tensor) -> float:
        images, targets = self.augmentation.batch(self.pictures, chosen, self.generator)
        if self.done < self.plan.small * self.steps:
            images = F.avg_pool2d(images, 2)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.run(images)
        loss = F.cross_entropy(logits.float(), targets, label_smoothing=self.plan.smoothing)
        torch.autograd.backward(loss)
        for optimizer, scheduler in zip(self.chain, self.schedulers, strict=True):
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        self.average.update_parameters(self.model)
        self.done += 1
        return loss.item()

    def parts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"model": self.model, "average": self.average}
        for number, (optimizer, scheduler) in enumerate(zip(self.chain, self.schedulers, strict=True)):
            found |= {f"optimizer{number}": optimizer, f"scheduler{number}": scheduler}
        return found

    def save(self, snapshot: Path) -> None:
        write_snapshot(snapshot, self.parts(), generator=self.generator.get_state(), done=self.done)

    def resume(self, snapshot: Path) -> None:
        rest = read_snapshot(snapshot, self.parts())
        self.generator.set_state(rest["generator"])
        self.done = rest["done"]


def write_snapshot(path: Path, parts: dict[str, Any], **rest: object) -> None:
    """Keep the state of all parts, and what else the next step depends on."""
    written = path.with_name(f"{path.name}.part")
    torch.save({**{name: part.state_dict() for name, part in parts.items()}, **rest}, written)
    written.rename(path)


def read_snapshot(path: Path, parts: dict[str, Any]) -> dict[str, Any]:
    """Give all parts the state that a snapshot kept; return what else it holds."""
    state: dict[str, Any] = torch.load(path)
    for name, part in parts.items():
        part.load_state_dict(state.pop(name))
    return state


def train(training: Training, snapshot: Path | None, after_epoch: Callable[[Training], None]) -> None:
    """Train to the end of the plan, from the snapshot on where there is one, and write it each epoch."""
    if snapshot is not None and snapshot.exists():
        training.resume(snapshot)
        print(f"going on at step {training.done} of {training.steps}", flush=True)
    while training.done < training.steps:
        training.one_epoch()
        if snapshot is not None:
            training.save(snapshot)
        after_epoch(training)
