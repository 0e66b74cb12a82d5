"""The commands that measure: validate, benchmark, compare, and report, which shows what they found."""

from __future__ import annotations

from typing import Any

import click

import convnext_edge
from convnext_edge.cli import options as common
from convnext_edge.cli.frame import command
from convnext_edge.results import Result


@command("convnext-edge validate --data imagenet_val --max-drop 0.5")
@common.model
@click.option("--data", required=True, metavar="NAME|PATH", help="Images to compare on.")
@click.option("--limit", type=click.IntRange(1), help="Take a seeded subset of that many.")
@common.target
@common.number("--max-drop", type=float, metavar="POINTS", help="Gate: top-1 points that may be lost.")
@common.number("--min-agreement", type=click.FloatRange(0, 1), metavar="FRACTION", help="Gate: same top-1.")
@common.data_root
@common.workspace
@common.seed
def validate(**options: Any) -> Result:
    """Compare MODEL (default: the newest) with FP32 PyTorch, image by image."""
    return convnext_edge.validate(**options)


@command("convnext-edge benchmark --threads 1 --min-speedup 2")
@common.model
@common.target
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images in a call.")
@click.option("--threads", type=click.IntRange(1), help="Of reference and candidate.  [default: all CPUs]")
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Timed calls of each.")
@common.number("--min-speedup", type=float, metavar="X", help="Gate: ratio of the median latencies.")
@common.workspace
def benchmark(**options: Any) -> Result:
    """Time MODEL (default: the newest) against FP32 PyTorch, interleaved."""
    return convnext_edge.benchmark(**options)


@command("convnext-edge compare --calib demo --data demo")
@common.model
@click.option("--calib", required=True, metavar="NAME|PATH", help="Images to take activation ranges from.")
@common.samples
@click.option("--data", required=True, metavar="NAME|PATH", help="Images to compare on.")
@click.option("--limit", type=click.IntRange(1), help="Take a seeded subset of that many.")
@click.option(
    "--targets",
    multiple=True,
    callback=common.names,
    metavar="NAME,...",
    help="Runtimes.  [default: openvino,onnxruntime]",
)
@click.option(
    "--methods",
    multiple=True,
    callback=common.names,
    metavar="NAME,...",
    help="fp32, ptq, nncf, ort, or files of recipes (.toml).  [default: all four]",
)
@click.option("--threads", type=click.IntRange(1), help="Of the timed calls.  [default: all CPUs]")
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Timed calls of each.")
@common.data_root
@common.workspace
@common.seed
def compare(**options: Any) -> Result:
    """Try several methods on several runtimes, from MODEL (default: the newest)."""
    return convnext_edge.compare(**options)


@command("convnext-edge report -o report.html")
@click.option(
    "-o", "--output", type=common.FILE, help="File to write.  [default: report.html in the workspace]"
)
@common.workspace
def report(**options: Any) -> Result:
    """Show what validate, benchmark and compare found as one HTML file."""
    return convnext_edge.report(**options)
