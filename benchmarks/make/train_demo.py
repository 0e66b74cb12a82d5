"""Train the demo model on CIFAR-10 (Krizhevsky, 2009) from scratch, on a CPU.

    python -m benchmarks.make.train_demo --data cifar10 --out demo.safetensors

`--data` holds train.zip and test.zip with JPEG images in class folders. The recipe is that of
`support/training.py`, from Kaiming weights and a layer scale of 1, with crops, flips and cutout. The test
images are looked at for the log only; nothing is selected by them. What is shipped came from four runs, each
from the one before (`--init`): see results/demo_training.json.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from safetensors.torch import load_file, save_file

from benchmarks.support.pictures import Augmentation, load
from benchmarks.support.training import Plan, Training, accuracy, initialize, train
from convnext_edge.checkpoints.variants import DEMO
from convnext_edge.network.convnext import ConvNeXt


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--init", type=click.Path(exists=True, path_type=Path), help="Weights to go on from.")
@click.option("--epochs", default=40.0, show_default=True)
@click.option("--batch", default=256, show_default=True)
@click.option("--rate", default=4e-3, show_default=True, help="Peak learning rate.")
@click.option("--decay", default=0.05, show_default=True, help="Weight decay.")
@click.option("--mix/--no-mix", default=False, show_default=True, help="CutMix half of the batches.")
@click.option("--compile/--no-compile", "compiled", default=False, show_default=True)
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
    compiled: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    model = ConvNeXt(DEMO.architecture)
    initialize(model)
    if init is not None:
        model.load_state_dict(load_file(init))
    augmentation = Augmentation.of(DEMO.preprocessing, mix=mix)
    plan = Plan(epochs, batch=batch, rate=rate, decay=decay, seed=seed)
    training = Training(model, load(data / "train.zip"), augmentation, plan, compiled=compiled)
    test_set = load(data / "test.zip")

    def keep(done: Training) -> None:
        weights = done.averaged.state_dict()
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, out)
        print(f"test accuracy {accuracy(done.averaged, test_set, augmentation):.4f}", flush=True)

    train(training, out.with_name(f"{out.name}.snapshot"), keep)


if __name__ == "__main__":
    main()
