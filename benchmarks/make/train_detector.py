"""Train a small Mask R-CNN on the demo segmenter's backbone, on pictures of `compose_objects`, on a CPU.

    python -m benchmarks.make.train_detector --data cifar10 --out demo_detect.safetensors

The backbone is the demo model's, as the training of the segmenter left it, and learns at a fifth of the
heads' rate, but for its stem and first stage, which stay as they are; AdamW, linear warm-up, cosine to zero,
an exponential moving average of the weights, which is what is saved, in half precision. The pictures are
composed anew at each step, from CIFAR-10's training pictures; the test pictures are looked at for the log
only. A snapshot is written now and then, from which the same call goes on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks.make.compose_objects import CANVAS, next_scene
from benchmarks.support.composing import Composer, composer
from benchmarks.support.decoders import Chain, begin
from benchmarks.support.detection_losses import Losses, Truth, losses
from benchmarks.support.pictures import Augmentation
from benchmarks.support.training import read_snapshot, write_snapshot
from convnext_edge.checkpoints.variants import DEMO_DETECT
from convnext_edge.evaluation.coco_ap import average_precision
from convnext_edge.evaluation.detections import as_results
from convnext_edge.images.coco import Scene
from convnext_edge.images.coco import truth as as_truth
from convnext_edge.images.objects import split
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.mask_rcnn import MaskRCNN

DETECTOR = DEMO_DETECT.architecture
NORMALIZED = Augmentation.of(DEMO_DETECT.preprocessing)
SIZE = (CANVAS.edge, CANVAS.edge)
FROZEN = ("stem.", "stages.0.")
LOG_STEPS = 20
TEST = 100  # pictures that the log tells the AP of
LONGEST_STEP = 5.0  # norm of the gradient


def batch_of(made: Composer, count: int) -> tuple[Tensor, list[Truth]]:
    """Normalized pictures (N, 3, 96, 96) and their objects."""
    scenes = [next_scene(made) for _ in range(count)]
    images = torch.from_numpy(np.stack([composed.pixels for composed, _ in scenes])).permute(0, 3, 1, 2)
    truths = [
        Truth(
            torch.tensor([thing.box for thing in things], dtype=torch.float32),
            torch.tensor([thing.label for thing in things]),
            torch.from_numpy(np.stack([thing.mask for thing in things])).float(),
        )
        for _, things in scenes
    ]
    return NORMALIZED.normalize(images), truths


@torch.no_grad()
def test_ap(model: ConvNeXt, made: Composer) -> tuple[float, float]:
    """The AP of boxes and of masks in the first so many test pictures."""
    model.eval()
    scenes, results = [], []
    for number in range(TEST):
        composed, things = next_scene(made)
        told = [thing.told(n, number) for n, thing in enumerate(things)]
        scenes.append(Scene(number, SIZE, tuple(map(as_truth, told))))
        images = torch.from_numpy(composed.pixels).permute(2, 0, 1)[None]
        (found,) = split([output.numpy() for output in model(NORMALIZED.normalize(images))])
        results += as_results(found, scenes[-1], DEMO_DETECT.preprocessing)
    boxes, masks = (average_precision(scenes, results, kind) for kind in ("bbox", "segm"))
    return cast(float, boxes), cast(float, masks)


class Training:
    """A detector in training, and all that the next step depends on."""

    def __init__(self, init: Path, made: Composer, *, steps: int, rate: float) -> None:
        self.model = begin(DETECTOR, init)
        for name, weight in self.model.named_parameters():
            weight.requires_grad_(not name.startswith(FROZEN))
        self.chain = Chain(self.model, rate=rate, backbone=0.2, steps=steps)
        self.made, self.steps, self.done = made, steps, 0

    def step(self, batch: int) -> Losses:
        self.model.train()
        images, truths = batch_of(self.made, batch)
        with torch.autocast("cpu", torch.bfloat16):
            _, maps = self.model.feature_maps(images)
            found = losses(cast(MaskRCNN, self.model.decoder), maps, SIZE, truths)
        sum(found).backward()  # type: ignore[union-attr]
        self.chain.step(clip=LONGEST_STEP)
        self.done += 1
        return Losses(*(loss.detach() for loss in found))

    def save(self, snapshot: Path) -> None:
        rest: dict[str, Any] = {"pictures": self.made.random.bit_generator.state}
        write_snapshot(snapshot, self.chain.parts(), **rest, torch=torch.get_rng_state(), done=self.done)

    def resume(self, snapshot: Path) -> None:
        rest = read_snapshot(snapshot, self.chain.parts())
        self.made.random.bit_generator.state = rest["pictures"]
        torch.set_rng_state(rest["torch"])
        self.done = rest["done"]


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option(
    "--init",
    default=Path("calibration/demo_segment/demo_segment.safetensors"),
    type=click.Path(path_type=Path),
)
@click.option("--steps", default=1000, show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--rate", default=1e-3, show_default=True, help="Peak learning rate of the heads.")
@click.option("--every", default=100, show_default=True, help="Steps from a snapshot to the next.")
def main(data: Path, out: Path, init: Path, steps: int, batch: int, rate: float, every: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    training = Training(init, composer(data / "train.zip", CANVAS, 3), steps=steps, rate=rate)
    snapshot = out.with_name(f"{out.name}.snapshot")
    if snapshot.exists():
        training.resume(snapshot)
        print(f"going on at step {training.done} of {steps}", flush=True)
    started, kept = time.time(), []
    while training.done < steps:
        kept.append(training.step(batch))
        if training.done % LOG_STEPS == 0:
            means = (
                f"{name} {np.mean(each):.3f}"
                for name, each in zip(Losses._fields, zip(*kept, strict=True), strict=True)
            )
            print(f"step {training.done}/{steps} {' '.join(means)} {time.time() - started:.0f} s", flush=True)
            kept.clear()
        if training.done % every == 0 or training.done == steps:
            training.chain.save(out)
            training.save(snapshot)
            boxes, masks = test_ap(training.chain.averaged, composer(data / "test.zip", CANVAS, 4))
            print(f"step {training.done}/{steps} test AP of boxes {boxes:.3f}, masks {masks:.3f}", flush=True)


if __name__ == "__main__":
    main()
