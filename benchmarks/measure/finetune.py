"""What fine-tuning wins back: 4-bit weights, and ReLU in place of GELU, on the demo model.

    python -m benchmarks.measure.finetune --train train.zip --data test.zip

The two are CIFAR-10's images in class folders. Every file is held against the FP32 GELU model in OpenVINO,
on all images of `--data`, which nothing is chosen by; labels of the training images are not used. Rows:

W4A8             4-bit weights, one scale a channel: after PTQ, and fine-tuned
moving averages  the same with activation ranges that are not learned but torchao's moving averages
ReLU             8 bits, GELU swapped for ReLU: fine-tuned for one step alone, and for all

The time of a row is that of the whole command, with calibration and its own measuring. Its CPU seconds, of
all threads, bound its seconds on idle cores; on a busy machine only they say something.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.support.moving_average import moving_averages
from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge import export, finetune, quantize, validate

FOUR_BITS = "weight_bits = 4\n"
WITHIN = 0.5  # points of FP32
MINUTES = 15
W4_PTQ, W4_QAT, W4_AVERAGED = "W4A8, PTQ", "W4A8, finetune", "W4A8, finetune with moving averages"
RELU_START, RELU = "W8A8 ReLU, one step", "W8A8 ReLU, finetune"

Row = dict[str, Any]


class Bench:
    """Makes the files of the rows in one workspace."""

    def __init__(self, folder: Path, train: str, data: str, steps: int) -> None:
        self.folder, self.train, self.data, self.steps = folder, train, data, steps
        self.model = export("demo", workspace=folder).artifact
        self.recipe = folder / "w4.toml"
        self.recipe.write_text(FOUR_BITS)

    def rows(self) -> Iterator[tuple[str, Row]]:
        yield W4_PTQ, self.row(self.quantize)
        yield W4_QAT, self.row(self.finetune, recipe=self.recipe)
        with moving_averages():
            yield W4_AVERAGED, self.row(self.finetune, recipe=self.recipe)
        yield RELU_START, self.row(self.finetune, activation="relu", steps=1)
        yield RELU, self.row(self.finetune, activation="relu")

    def quantize(self) -> Any:
        return quantize(self.model, calib=self.train, recipe=self.recipe, workspace=self.folder)

    def finetune(self, **options: Any) -> Any:
        given = {"steps": self.steps, **options}
        return finetune(self.model, train=self.train, workspace=self.folder, **given)

    def row(self, make: Callable[..., Any], **options: Any) -> Row:
        started, cpu = time.perf_counter(), time.process_time()
        made = make(**options)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
        found = validate(made.artifact, data=self.data).to_json()
        kept = ("images", "candidate_top1", "drop_points", "drop_ci95_points", "agreement", "sqnr_db")
        return {
            "steps": getattr(made, "steps", 0),
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "reference_top1": found["reference_top1"],
            **{key: found[key] for key in kept},
        }


def check(rows: dict[str, Row]) -> Iterator[Bar]:
    yield Bar(f"{W4_QAT}: drop, points", rows[W4_QAT]["drop_points"], at_most=WITHIN)
    won = rows[W4_QAT]["agreement"] - rows[W4_PTQ]["agreement"]
    yield Bar(f"{W4_QAT}: agreement won over PTQ", won, at_least=0)
    yield Bar(f"{W4_QAT}: CPU seconds", rows[W4_QAT]["cpu_seconds"], at_most=60 * MINUTES)
    ahead = rows[W4_QAT]["sqnr_db"] - rows[W4_AVERAGED]["sqnr_db"]
    yield Bar("learned ranges: SQNR over moving averages, dB", ahead, at_least=0)
    yield Bar(f"{RELU}: drop, points", rows[RELU]["drop_points"], at_most=WITHIN)


@click.command()
@click.option("--train", required=True, help="Images to train with.")
@click.option("--data", required=True, help="Labelled images to measure on.")
@click.option("--steps", default=300, show_default=True, help="Of 64 images.")
@report_options
def main(train: str, data: str, steps: int, reporting: Reporting) -> None:
    """Fine-tune the demo model at 4 bits and with ReLU."""
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, row in Bench(Path(folder), train, data, steps).rows():
            rows[name] = row
            print(name, row, file=sys.stderr)
    measured = {"model": "demo", "threads": torch.get_num_threads(), "rows": rows}
    reporting.finish("finetune", measured, check(rows))


if __name__ == "__main__":
    main()
