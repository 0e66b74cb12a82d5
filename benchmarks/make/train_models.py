"""Train the models that fidelity is measured on beside the demo model, on a CPU.

    python -m benchmarks.make.train_models --cifar cifar10 --tiny tiny200 --out models
    python -m benchmarks.make.train_models demo_v2 --epochs 8 --cifar cifar10 --out models

The folders of `--cifar` (CIFAR-10, Krizhevsky 2009) and `--tiny` (Tiny-ImageNet-200, Stanford CS231n, packed
by `pack_tiny_imagenet.py`) hold train.zip and test.zip with images in class folders. Models are trained one
after another. A call that was killed goes on at the end of the last epoch, with the same command; `--epochs`
may then differ. The test images are looked at for the log only; nothing is selected by them.
`OUT/NAME.safetensors` has the weights in half precision, `OUT/NAME.json` what is to be said of them.

demo_v2       the demo model with its layer scale folded away, and GRN that the layer behind makes up for
demo_rms      the demo model with RMSNorm in place of LayerNorm
demo_outlier  the demo model with one channel of each stage's residual stream times 30
tiny200       200 classes, patch 4 at 64 pixels, depths and dims of atto, from scratch
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.support.derived import (
    as_v2,
    blocks,
    give_grn_weight,
    outlier_ratios,
    with_outliers,
    with_rms_norm,
)
from benchmarks.support.pictures import Augmentation, Pictures, load
from benchmarks.support.training import Plan, Training, accuracy, initialize, train
from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.variants import DEMO
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt

DEMO_WEIGHTS = Path(__file__).parents[2] / "calibration/demo/demo.safetensors"
ATTO = Architecture(depths=(2, 2, 6, 2), dims=(40, 80, 160, 320), patch=4, classes=200)
TOLD = 500  # images by which the finished model is described

OF_CIFAR = Augmentation.of(DEMO.preprocessing)

Begin = Callable[[Tensor], tuple[ConvNeXt, dict[str, Any]]]
Describe = Callable[[ConvNeXt, Tensor], dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """How a model is begun and trained, and what is said of it in the end."""

    begin: Begin
    plan: Plan
    describe: Describe = lambda _model, _images: {}
    augmentation: Augmentation = OF_CIFAR
    tiny: bool = False


def demo() -> ConvNeXt:
    model = ConvNeXt(DEMO.architecture)
    model.load_state_dict(load_file(DEMO_WEIGHTS))
    return model


def begin_v2(images: Tensor) -> tuple[ConvNeXt, dict[str, Any]]:
    model = as_v2(demo())
    give_grn_weight(model, images)
    return model, {}


def begin_outlier(images: Tensor) -> tuple[ConvNeXt, dict[str, Any]]:
    model = demo()
    channels = with_outliers(model, images)
    return model, {"channels": channels, "ratios_before": outlier_ratios(model, images)}


def begin_tiny(images: Tensor) -> tuple[ConvNeXt, dict[str, Any]]:
    model = ConvNeXt(ATTO)
    initialize(model)
    return model, {}


def grn_sizes(model: ConvNeXt, images: Tensor) -> dict[str, Any]:
    """RMS of GRN's weight and bias in each block: of 0, a V2 is a V1."""
    grns = [block.grn for block in blocks(model)]
    return {
        f"grn_{name}_rms": [
            round(float(getattr(grn, name).detach().square().mean().sqrt()), 3) for grn in grns
        ]
        for name in ("weight", "bias")
    }


MODELS = {
    "demo_v2": Made(begin_v2, Plan(0.3, rate=1e-3, average=0.95), grn_sizes),
    "demo_rms": Made(lambda _: (with_rms_norm(demo()), {}), Plan(0.4, rate=2e-3, average=0.98)),
    "demo_outlier": Made(
        begin_outlier,
        Plan(2, rate=1e-3, average=0.98),
        lambda model, images: {"ratios": outlier_ratios(model, images)},
    ),
    "tiny200": Made(
        begin_tiny,
        Plan(12, rate=4e-3, smoothing=0.1, small=0.75, average=0.998),
        augmentation=Augmentation.of(Preprocessing(), cutout=0),
        tiny=True,
    ),
}


def make(name: str, made: Made, train_set: Pictures, test_set: Pictures, out: Path) -> None:
    """Train one model, and write its weights and what is to be said of it."""
    torch.manual_seed(made.plan.seed)
    seen = made.augmentation.normalize(test_set.images[:: len(test_set) // TOLD])
    model, began = made.begin(seen)
    began["top1_before"] = accuracy(model, test_set, made.augmentation)
    print(name, began, flush=True)
    training = Training(model, train_set, made.augmentation, made.plan, compiled=False)
    started = time.monotonic()
    train(training, out / f"{name}.snapshot", lambda _: None)
    half = {key: value.half().contiguous() for key, value in training.averaged.state_dict().items()}
    averaged = training.averaged
    averaged.load_state_dict({key: value.float() for key, value in half.items()})
    found = {
        "epochs": made.plan.epochs,
        "seconds_of_last_run": round(time.monotonic() - started),
        "top1": accuracy(averaged, test_set, made.augmentation),
        **made.describe(averaged.eval(), seen),
    }
    save_file(half, out / f"{name}.safetensors")
    (out / f"{name}.json").write_text(json.dumps({"model": name, **began, **found}, indent=1) + "\n")
    print(name, found, flush=True)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(MODELS)))
@click.option("--cifar", type=click.Path(exists=True, path_type=Path))
@click.option("--tiny", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--epochs", type=float, help="Instead of each model's own.")
@click.option("--threads", default=1, show_default=True)
def main(
    names: tuple[str, ...],
    cifar: Path | None,
    tiny: Path | None,
    out: Path,
    epochs: float | None,
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    for name in names or MODELS:
        made = MODELS[name]
        data = tiny if made.tiny else cifar
        if data is None:
            raise click.UsageError(f"{name} needs {'--tiny' if made.tiny else '--cifar'}")
        if (out / f"{name}.safetensors").exists():
            print(f"{name}: made already", flush=True)
            continue
        if epochs is not None:
            made = replace(made, plan=replace(made.plan, epochs=epochs))
        make(name, made, load(data / "train.zip", out), load(data / "test.zip", out), out)


if __name__ == "__main__":
    main()
