"""The commands that make or look into ONNX models: export, quantize, finetune, sensitivity."""

from __future__ import annotations

from typing import Any

import click

import convnext_edge
from convnext_edge.cli import options as common
from convnext_edge.cli.frame import command
from convnext_edge.results import Result


@command("convnext-edge export --variant tiny")
@click.option("--variant", help="Name from `convnext-edge variants`; beside --checkpoint, a check.")
@click.option("--checkpoint", type=common.FILE, help="Weights of your own: .safetensors, .pth, .pt or .bin.")
@click.option("--random-weights", is_flag=True, help="Seeded noise as weights, for work on latency.")
@click.option(
    "--resolution",
    type=click.IntRange(1),
    metavar="PIXELS",
    help="Edge of the input.  [default: the variant's]",
)
@click.option(
    "--crop",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="FRACTION",
    help="Of the resized image's edge that is kept.",
)
@click.option("--mean", type=(float, float, float), metavar="R G B", help="Of the pixels, in 0..1.")
@click.option("--std", type=(float, float, float), metavar="R G B", help="Standard deviation of the pixels.")
@click.option(
    "--target",
    type=common.TARGET,
    metavar="NAME",
    help=f"Lower for this runtime: {common.RUNTIMES}.  [default: plain, for any]",
)
@click.option(
    "--input",
    "input_type",
    type=click.Choice(["float32", "uint8"]),
    default="float32",
    show_default=True,
    help="Normalized values, or raw RGB bytes.",
)
@common.output
@common.workspace
@common.seed
def export(**options: Any) -> Result:
    """Write a trained ConvNeXt as ONNX, checked against PyTorch."""
    return convnext_edge.export(**options)


@command("convnext-edge quantize --calib imagenet_val --data-root ~/data")
@common.model
@click.option("--calib", required=True, metavar="NAME|PATH", help="Images to take activation ranges from.")
@common.samples
@common.for_target
@click.option(
    "--method",
    type=click.Choice(["ptq", "nncf", "ort"]),
    default="ptq",
    show_default=True,
    help="Ours; NNCF over our placement; ONNX Runtime's quantize_static.",
)
@common.recipe_file
@common.weights_file
@common.kept_float
@common.number(
    "--max-drop",
    type=float,
    metavar="POINTS",
    help="Gate: keep layers float, costliest first, until no more top-1 is lost.",
)
@click.option("--data", metavar="NAME|PATH", help="Images for --max-drop.  [default: those of --calib]")
@click.option(
    "--timing/--no-timing",
    default=True,
    show_default=True,
    help="Gate: no slower than the target's own FP32, where the target runs here.",
)
@click.option("--allow-slower", is_flag=True, help="Time it, but let slower INT8 pass.")
@common.data_root
@common.output
@common.workspace
@common.seed
def quantize(**options: Any) -> Result:
    """Quantize to INT8 after training, from MODEL (default: the newest export)."""
    return convnext_edge.quantize(**options)


@command("convnext-edge finetune --train ~/data/train --steps 500")
@common.model
@click.option(
    "--train", required=True, metavar="NAME|PATH", help="Images to train with; labels are not needed."
)
@click.option("--calib", metavar="NAME|PATH", help="Images to take first ranges from.  [default: --train's]")
@common.samples
@click.option("--data", metavar="NAME|PATH", help="Images to measure on.  [default: 5 % of --train]")
@common.for_target
@common.number("--epochs", type=click.FloatRange(0, min_open=True), help="How often each image is seen.")
@click.option("--steps", type=click.IntRange(1), help="How long, in place of --epochs.  [default: 300]")
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Images in a step, of all processes together.",
)
@common.number(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=5e-4,
    show_default=True,
    help="At its peak.",
)
@common.number(
    "--label-weight",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the labels in the loss; the rest is the reference's answer.",
)
@click.option(
    "--activation",
    type=click.Choice(["gelu", "relu"]),
    default="gelu",
    show_default=True,
    help="relu swaps GELU for the faster ReLU.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the arithmetic; auto: bf16 on GPUs that have it.",
)
@click.option("--compile/--no-compile", help="Train through torch.compile: pays in long runs.  [default: no]")
@click.option(
    "--checkpoint-every",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="STEPS",
    help="Save what --resume needs.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint, to the same result.")
@common.recipe_file
@common.weights_file
@common.kept_float
@common.data_root
@common.output
@common.workspace
@common.seed
def finetune(**options: Any) -> Result:
    """Train MODEL (default: the newest export) to lose nothing in INT8."""
    return convnext_edge.finetune(**options)


@command("convnext-edge sensitivity --calib imagenet_val --samples 32")
@common.model
@click.option("--calib", required=True, metavar="NAME|PATH", help="Images to measure with.")
@click.option("--samples", type=click.IntRange(1), help="How many of them.  [default: 32, or all of fewer]")
@common.for_target
@common.recipe_file
@common.weights_file
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="Timed calls in a round.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the timed calls.")
@common.data_root
@common.workspace
@common.seed
def sensitivity(**options: Any) -> Result:
    """Tell what INT8 costs and gains in each layer of MODEL (default: newest)."""
    return convnext_edge.sensitivity(**options)
