"""How long every command shows nothing: to its first line, and at most, on a terminal and in a pipe.

    python -m benchmarks.measure.silence

All commands run one after the other on one model with random weights (ConvNeXt-T), as new processes, with
pictures of noise. Each runs twice: on a terminal of 80 x 24, where all that is shown counts (a spinner that
turns is a sign of life), and with standard error in a pipe, as in CI. What was shown last before the longest
silence is in the report. What the process takes to end, when all was said, is no silence of the work
(`seconds_behind_the_result`).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.watching import Watched, convnext_edge, watch

FIRST = 1.0  # seconds to the first line
ON_A_TERMINAL = 3.0  # seconds of silence
IN_A_PIPE = 15.0  # likewise: there, a line comes at least every 10 seconds while the work goes on
GATE = 3  # exit code of random weights that do not pass
PICTURES = 64
CALIB = ("--calib", "pictures")


def commands(variant: str) -> dict[str, list[object]]:
    """Return the arguments of every command, in the order that makes what the next ones take."""
    fp32, int8 = (f"convnext-edge-out/{variant}-random{end}" for end in (".onnx", "-int8-openvino"))
    return {
        "variants": ["variants"],
        "doctor": ["doctor"],
        "export": ["export", "--variant", variant, "--random-weights"],
        "quantize": ["quantize", *CALIB],
        "build": ["build", f"{int8}.onnx"],
        "validate": ["validate", f"{int8}.xml", "--data", "pictures", "--limit", PICTURES],
        "predict": ["predict", f"{int8}.xml", "pictures"],
        "benchmark": ["benchmark", f"{int8}.xml", "--threads", 1],
        "embed": ["embed", f"{int8}.xml", "--lang", "cpp", "-o", "cpp"],
        "finetune": [
            *("finetune", fp32, "--train", "pictures", "--samples", 32),
            *("--steps", 4, "--batch", 8, "-o", "qat.onnx"),
        ],
        "sensitivity": ["sensitivity", fp32, *CALIB, "--samples", 8],
        "compare": [
            *("compare", fp32, *CALIB, "--samples", 32, "--data", "pictures"),
            *("--limit", 32, "--methods", "fp32,ptq", "--targets", "openvino", "--runs", 10),
        ],
        "report": ["report"],
        "demo": ["demo"],
    }


def draw(folder: Path) -> None:
    """Write pictures of noise, without labels."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(PICTURES):
        colours = generator.integers(0, 256, (15, 20, 3), np.uint8)
        Image.fromarray(colours).resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")


def row(name: str, watched: Watched) -> dict[str, Any]:
    """Return what the report says of one run."""
    silence, since, last = watched.longest
    return {
        "command": name,
        "first_line_seconds": round(watched.first, 2),
        "longest_silence_seconds": round(silence, 2),
        "at_second": round(since, 1),
        "behind": last,
        "seconds": round(watched.seconds, 1),
        "seconds_behind_the_result": round(watched.seconds - watched.last, 2),
        "lines": watched.text.count("\n"),
        "exit_code": watched.returncode,
    }


def run_all(variant: str, terminal: bool, chosen: tuple[str, ...]) -> list[dict[str, Any]]:
    """Run the commands in a folder of their own, and return a row for each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder) / "pictures")
        for name, arguments in commands(variant).items():
            if chosen and name not in chosen:
                continue
            watched = watch(convnext_edge(*arguments), terminal=terminal, cwd=Path(folder))
            rows.append(row(name, watched))
            print(json.dumps(rows[-1]), file=sys.stderr)
            if watched.returncode not in (0, GATE):
                raise click.ClickException(f"{name} failed:\n{watched.text[-2000:]}")
    return rows


def bars(rows: list[dict[str, Any]], where: str, silence: float) -> list[Bar]:
    """Return the bars on a first line and on silence, each on the worst command."""
    first = max(row["first_line_seconds"] for row in rows)
    longest = max(row["longest_silence_seconds"] for row in rows)
    return [
        Bar(f"{where}: commands tried", len(rows), at_least=len(commands(""))),
        Bar(f"{where}: seconds to the first line, at most", first, at_most=FIRST),
        Bar(f"{where}: longest silence in seconds", longest, at_most=silence),
    ]


@click.command()
@click.option("--variant", default="tiny", show_default=True, help="Model that the commands work with.")
@click.option("--only", multiple=True, help="Commands to run.  [default: all]")
@click.option(
    "--where",
    type=click.Choice(["terminal", "pipe"]),
    multiple=True,
    default=("terminal", "pipe"),
    show_default=True,
)
@report_options
def main(variant: str, only: tuple[str, ...], where: tuple[str, ...], reporting: Reporting) -> None:
    """Time the silences of all commands."""
    os.environ.pop("PYTHONUNBUFFERED", None)
    rows = {place: run_all(variant, place == "terminal", only) for place in where}
    limits = {"terminal": ON_A_TERMINAL, "pipe": IN_A_PIPE}
    found = [bar for place in where for bar in bars(rows[place], place, limits[place])]
    reporting.finish("silence", {"variant": variant, **rows}, found)


if __name__ == "__main__":
    main()
