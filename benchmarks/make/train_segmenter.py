"""Train a small UPerNet on the demo model's backbone, on pictures of `compose_segments`, on a CPU.

    python -m benchmarks.make.train_segmenter --data cifar10 --out demo_segment.safetensors

The backbone begins with the demo model's weights and learns at a tenth of the decoder's rate; AdamW, linear
warm-up, cosine to zero, an exponential moving average of the weights, which is what is saved, in half
precision. The pictures are composed anew at each step, from CIFAR-10's training pictures; the test pictures
are looked at for the log only.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.make.compose_segments import CANVAS, label_map
from benchmarks.support.composing import Composer, composer
from benchmarks.support.decoders import Chain, begin
from benchmarks.support.pictures import Augmentation
from convnext_edge.checkpoints.variants import DEMO_SEGMENT
from convnext_edge.evaluation.pixels import confusion, mean_iou
from convnext_edge.network.convnext import ConvNeXt

SEGMENTER = DEMO_SEGMENT.architecture
NORMALIZED = Augmentation.of(DEMO_SEGMENT.preprocessing)
TEST = 100  # pictures that the log tells the mIoU of


def batch_of(made: Composer, size: int) -> tuple[Tensor, Tensor]:
    """Normalized pictures (N, 3, 64, 64) and classes (N, 64, 64)."""
    composed = [made.compose() for _ in range(size)]
    images = torch.from_numpy(np.stack([each.pixels for each in composed])).permute(0, 3, 1, 2)
    classes = torch.from_numpy(np.stack([label_map(each) for each in composed])).long()
    return NORMALIZED.normalize(images), classes


@torch.no_grad()
def test_miou(model: ConvNeXt, made: Composer) -> float:
    model.eval()
    images, classes = batch_of(made, TEST)
    answers = torch.cat([model(x).argmax(1) for x in torch.split(images, 20)])
    return mean_iou(confusion(classes.numpy(), answers.numpy(), SEGMENTER.classes))


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--init", default=Path("calibration/demo/demo.safetensors"), type=click.Path(path_type=Path))
@click.option("--steps", default=600, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--rate", default=2e-3, show_default=True, help="Peak learning rate of the decoder.")
def main(data: Path, out: Path, init: Path, steps: int, batch: int, rate: float) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    train, test = (composer(data / f"{part}.zip", CANVAS, seed) for part, seed in (("train", 3), ("test", 4)))
    model = begin(SEGMENTER, init)
    chain = Chain(model, rate=rate, backbone=0.1, steps=steps)
    started, losses = time.time(), []
    for step in range(steps):
        model.train()
        images, classes = batch_of(train, batch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), classes)
        torch.autograd.backward(loss)
        chain.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            found = test_miou(chain.averaged, test)
            print(
                f"step {step + 1}/{steps} loss {np.mean(losses[-50:]):.3f} test mIoU {found:.3f}"
                f" {time.time() - started:.0f} s",
                flush=True,
            )
            chain.save(out)


if __name__ == "__main__":
    main()
