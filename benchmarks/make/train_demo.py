"""Train the demo model on CIFAR-10 (Krizhevsky, 2009) from scratch, on a CPU.

    python -m benchmarks.make.train_demo --data cifar10 --out demo.safetensors

`--data` holds train.zip and test.zip with JPEG images in class folders. The recipe: Kaiming
initialization and a layer scale of 1, Muon for the pointwise layers and AdamW for the rest, one
schedule (linear warm-up, cosine to zero), crops, flips and cutout, label smoothing, and an
exponential moving average of the weights, which is what is saved. The test images are looked at for the log
only; nothing is selected by them. What is shipped came from four runs, each from the one before (`--init`):
see results/demo_training.json.
"""

from __future__ import annotations

import io
import math
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.architecture import Architecture
from convnext_edge.network.convnext import Block, ConvNeXt

ARCHITECTURE = Architecture(depths=(2, 3, 4, 1), dims=(32, 64, 128, 192), patch=2, classes=10)
MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)  # of CIFAR-10's training images
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)
PAD = 4  # pixels of reflection around the image before a random crop
CUTOUT = 8  # edge in pixels of the square set to the mean
LABEL_SMOOTHING = 0.05
EMA_DECAY = 0.998


def load(archive: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) uint8 and labels (N,), classes in the order of their sorted names."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(n for n in file.namelist() if n.endswith((".jpg", ".jpeg", ".png")))
        blobs = [file.read(name) for name in names]
    classes = sorted({Path(name).parent.name for name in names})
    with ThreadPoolExecutor(2) as pool:
        pixels = np.stack(
            list(pool.map(lambda b: np.asarray(Image.open(io.BytesIO(b)).convert("RGB")), blobs))
        )
    labels = torch.tensor([classes.index(Path(name).parent.name) for name in names])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels


def normalize(images: Tensor) -> Tensor:
    scaled = (images.float() / 255 - MEAN) / STD
    return scaled.contiguous(memory_format=torch.channels_last)


def augment(padded: Tensor, generator: torch.Generator) -> Tensor:
    """Random crop, flip and cutout of (N, 3, 32 + 2 PAD, 32 + 2 PAD) uint8; normalized (N, 3, 32, 32)."""
    count = len(padded)
    offset = torch.randint(0, 2 * PAD + 1, (2, count, 1), generator=generator)
    rows, columns = offset[0] + torch.arange(32), offset[1] + torch.arange(32)  # (N, 32) each
    flip = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(flip, columns.flip(1), columns)
    index = torch.arange(count).view(-1, 1, 1)
    x = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # (N, 32, 32, 3)
    x = normalize(x.permute(0, 3, 1, 2))
    corner = torch.randint(-CUTOUT // 2, 32 - CUTOUT // 2, (2, count, 1), generator=generator)
    inside = [(torch.arange(32) >= c) & (torch.arange(32) < c + CUTOUT) for c in corner]
    return x.masked_fill((inside[0][:, :, None] & inside[1][:, None, :]).unsqueeze(1), 0.0)


def cutmix(x: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """CutMix (Yun et al., 2019, arXiv:1905.04899) on half of the batches; labels are mixed by area.

    Takes (N, 3, 32, 32) and (N,); returns the images and targets (N, 10), probabilities by area.
    """
    targets = F.one_hot(labels, 10).float()
    if torch.rand((), generator=generator) < 0.5:
        return x, targets
    order = torch.randperm(len(x), generator=generator)
    edge = round(32 * float(torch.rand((), generator=generator)) ** 0.5)
    top, left = (int(v) for v in torch.randint(0, 33 - edge, (2,), generator=generator))
    x[:, :, top : top + edge, left : left + edge] = x[order, :, top : top + edge, left : left + edge]
    share = edge**2 / 32**2
    return x, (1 - share) * targets + share * targets[order]


def initialize(model: ConvNeXt) -> None:
    """Kaiming weights and a layer scale of 1: learns far faster here than the paper's small constants."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            nn.init.zeros_(module.bias)
        if isinstance(module, Block) and module.gamma is not None:
            nn.init.ones_(module.gamma)
            # so that the residual sum grows slowly with depth at the start
            module.pwconv2.weight.data.mul_(0.5)


def optimizers(model: ConvNeXt, rate: float, decay: float) -> list[torch.optim.Optimizer]:
    pointwise = [w for n, w in model.named_parameters() if "pwconv" in n and n.endswith("weight")]
    chosen = {id(w) for w in pointwise}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    muon = torch.optim.Muon(pointwise, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(groups, lr=rate)]


@torch.no_grad()
def accuracy(model: ConvNeXt, images: Tensor, labels: Tensor) -> float:
    model.eval()
    hits = 0
    for x, y in zip(images.split(500), labels.split(500), strict=True):
        hits += int((model(normalize(x)).argmax(1) == y).sum())
    model.train()
    return hits / len(labels)


def schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    return (
        (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
    )


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--init", type=click.Path(exists=True, path_type=Path), help="Weights to go on from.")
@click.option("--epochs", default=40.0, show_default=True)
@click.option("--batch", default=256, show_default=True)
@click.option("--rate", default=4e-3, show_default=True, help="Peak learning rate.")
@click.option("--decay", default=0.05, show_default=True, help="Weight decay.")
@click.option("--mix/--no-mix", default=False, show_default=True, help="CutMix half of the batches.")
@click.option("--stop-after", type=int, help="Stop after this many steps (for trials).")
@click.option("--compile/--no-compile", "compiled", default=True, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    data: Path,
    out: Path,
    init: Path | None,
    epochs: float,
    batch: int,
    rate: float,
    decay: float,
    mix: bool,
    stop_after: int | None,
    compiled: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train_images, train_labels = load(data / "train.zip")
    test_images, test_labels = load(data / "test.zip")
    padded = F.pad(train_images.float(), (PAD,) * 4, mode="reflect").byte()
    model = ConvNeXt(ARCHITECTURE)
    initialize(model)
    if init is not None:
        model.load_state_dict(load_file(init))
    model = model.to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY)
    )
    run = torch.compile(model) if compiled else model
    steps_an_epoch = len(train_labels) // batch
    steps = int(epochs * steps_an_epoch)
    chain = optimizers(model, rate, decay)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, lambda s: schedule(s, steps)) for o in chain]
    started, losses = time.time(), []
    for step in range(stop_after or steps):
        if step % steps_an_epoch == 0:
            order = torch.randperm(len(train_labels), generator=generator)
        where = (step % steps_an_epoch) * batch
        chosen = order[where : where + batch]
        images, targets = augment(padded[chosen], generator), F.one_hot(train_labels[chosen], 10).float()
        if mix:
            images, targets = cutmix(images, train_labels[chosen], generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = run(images)
        loss = F.cross_entropy(logits.float(), targets, label_smoothing=LABEL_SMOOTHING)
        loss.backward()
        for optimizer, scheduler in zip(chain, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        average.update_parameters(model)
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            speed = batch * (step + 1) / (time.time() - started)
            print(
                f"step {step + 1}/{steps} loss {np.mean(losses[-50:]):.3f} {speed:.0f} images/s", flush=True
            )
        if (step + 1) % (4 * steps_an_epoch) == 0 or step + 1 == steps:
            print(f"test accuracy {accuracy(average.module, test_images, test_labels):.4f}", flush=True)
            save_file({k: v.contiguous() for k, v in average.module.state_dict().items()}, out)


if __name__ == "__main__":
    main()
