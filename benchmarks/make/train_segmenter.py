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
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from benchmarks.make.compose_segments import Composer, composer
from benchmarks.support.pictures import Augmentation
from benchmarks.support.training import schedule
from convnext_edge.checkpoints.variants import DEMO_SEGMENT
from convnext_edge.evaluation.pixels import confusion, mean_iou
from convnext_edge.network.convnext import ConvNeXt, random_model

SEGMENTER = DEMO_SEGMENT.architecture
NORMALIZED = Augmentation.of(DEMO_SEGMENT.preprocessing)
EMA_DECAY = 0.99
TEST = 100  # pictures that the log tells the mIoU of


def batch_of(made: Composer, size: int) -> tuple[Tensor, Tensor]:
    """Normalized pictures (N, 3, 64, 64) and classes (N, 64, 64)."""
    pictures, classes = zip(*(made.compose() for _ in range(size)), strict=True)
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return NORMALIZED.normalize(images), torch.from_numpy(np.stack(classes)).long()


def begin(weights: Path) -> ConvNeXt:
    """Return the untrained segmenter with the demo model's backbone."""
    model = random_model(SEGMENTER, 0)
    known = {name: tensor for name, tensor in load_file(weights).items() if name in model.state_dict()}
    missing = model.load_state_dict(known, strict=False).missing_keys
    assert all(name.startswith(("decoder.", "map_norms.")) for name in missing), missing
    return model.to(memory_format=torch.channels_last)


@torch.no_grad()
def test_miou(model: ConvNeXt, made: Composer) -> float:
    model.eval()
    images, classes = batch_of(made, TEST)
    answers = torch.cat([model(x).argmax(1) for x in images.split(20)])
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
    train, test = composer(data / "train.zip", 3), composer(data / "test.zip", 4)
    model = begin(init)
    new = [w for n, w in model.named_parameters() if n.startswith(("decoder.", "map_norms."))]
    old = [w for n, w in model.named_parameters() if not n.startswith(("decoder.", "map_norms."))]
    groups = [{"params": new, "lr": rate}, {"params": old, "lr": rate / 10}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step, steps))
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY), use_buffers=True
    )
    started, losses = time.time(), []
    for step in range(steps):
        model.train()
        images, classes = batch_of(train, batch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), classes)
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        losses.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            found = test_miou(average.module, test)
            print(
                f"step {step + 1}/{steps} loss {np.mean(losses[-50:]):.3f} test mIoU {found:.3f}"
                f" {time.time() - started:.0f} s",
                flush=True,
            )
            save_file({k: v.half().contiguous() for k, v in average.module.state_dict().items()}, out)


if __name__ == "__main__":
    main()
