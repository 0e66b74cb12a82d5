"""Embedded C++ on 64-bit ARM against Python on this machine, the same engine: answers, not speed.

    python -m benchmarks.measure.embed_arm64

The demo model, cross-compiled as the folder's README says, runs under QEMU (a Cortex-A76 with ARM's dot
products of INT8). Products of INT8 are exact on both; floating-point sums are not in the same order, and an
activation on the boundary of two INT8 values then falls either way, which later layers carry on. So SQNR is
told for all images and for the median one, and beside INT8 for FP32, which has no such boundaries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.support.counting import emulator_version
from benchmarks.support.embedding import RUNTIMES, compare, embed_fp32, embed_int8
from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge.images.opening import open_image_set

from support.emulated import CPU, build_arm64  # isort: skip


FP32_IMAGES = 100


def check(rows: list[dict[str, Any]]) -> Iterator[Bar]:
    for row in rows:
        what = f"{row['model']} in {row['runtime']}: "
        yield Bar(f"{what}agreement", row["agreement"], at_least=0.999)
        yield Bar(f"{what}SQNR, dB", row["sqnr_db"], at_least=50)


@click.command()
@click.option("--limit", default=1000, show_default=True, help="Images of the demo.")
@report_options
def main(limit: int, reporting: Reporting) -> None:
    """Hold the demo model on an emulated ARM CPU against Python here."""
    images = open_image_set("demo", split="evaluation").subset(limit, seed=0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for runtime in RUNTIMES:
            place = Path(folder) / runtime
            place.mkdir()
            embedded = embed_int8("demo", runtime, "demo", place)
            program = build_arm64(embedded.folder, place, place)
            rows.append(compare(program, embedded, images))
            exact = embed_fp32("demo", runtime, place)
            rows.append(compare(program, exact, images.subset(min(FP32_IMAGES, limit), seed=0)))
    measured = {
        "emulator": emulator_version(),
        "emulated": CPU,
        "answers": rows,
    }
    reporting.finish("embed_arm64", measured, check(rows))


if __name__ == "__main__":
    main()
