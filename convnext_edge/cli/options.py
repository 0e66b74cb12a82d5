"""Options and arguments that several commands have."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import click

from convnext_edge.targets.registry import NAMES

FILE = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
TARGET = click.Choice(NAMES)
RUNTIMES = ", ".join(NAMES)  # in the help, as a list of choices would be one word longer than a line

workspace = click.option(
    "--workspace",
    type=FOLDER,
    help="Folder for artifacts.  [default: $CONVNEXT_EDGE_WORKSPACE or ./convnext-edge-out]",
)
data_root = click.option(
    "--data-root", type=FOLDER, help="Where named image sets are looked for.  [default: $CONVNEXT_EDGE_DATA]"
)
output = click.option("-o", "--output", type=FILE, help="File to write.  [default: a name in the workspace]")
seed = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of everything random."
)
model = click.argument("model", type=FILE, required=False)
recipe_file = click.option("--recipe", type=FILE, help="TOML file that changes keys of the target's recipe.")
weights_file = click.option("--checkpoint", type=FILE, help="Start from this weights file instead of MODEL.")
kept_float = click.option(
    "--keep-float", multiple=True, metavar="PATTERN", help="Layers to leave in float; repeatable."
)
for_target = click.option(
    "--target",
    type=TARGET,
    metavar="NAME",
    default="openvino",
    show_default=True,
    help=f"Runtime to quantize for: {RUNTIMES}.",
)
samples = click.option(
    "--samples", type=click.IntRange(1), help="How many of them.  [default: 256, or all of fewer]"
)
target = click.option(
    "--target",
    type=TARGET,
    metavar="NAME",
    help=f"Runtime: {RUNTIMES}.  [default: the one the model was made for]",
)


def finite(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """Callback of a number that is compared with: nothing compares with `nan`, which ranges let through."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value


number = partial(click.option, callback=finite)


def names(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Callback of a repeatable option that also takes names separated by commas."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())
