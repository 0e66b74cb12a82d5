"""What huge pages gain: ConvNeXt-T in INT8 with the memory of malloc in pages of 2 MiB and of 4 KiB.

    python -m benchmarks.measure.huge_pages

Linux gives huge pages to all (`always`), to whoever asks (`madvise`, the default of Ubuntu), or to nobody
(`never`); glibc asks where GLIBC_TUNABLES says so. This is for machines with `madvise`. Each engine has two
processes, which take turns: see benchmarks/support/turns.py.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.measure.latency import make_ours
from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import REFERENCE, ratio, summarize, take_turns

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
WITH = ", huge pages"


def given_by() -> str:
    """The setting of Linux, which stands in brackets beside the others."""
    found = re.search(r"\[(\w+)\]", SETTING.read_text()) if SETTING.exists() else None
    return "unknown" if found is None else found[1]


def check(gains: dict[str, Any]) -> Iterator[Bar]:
    for name, found in gains.items():
        yield Bar(f"{name}: times as fast with huge pages", found["ratio"], at_least=1.0)


@click.command()
@click.option("--runs", default=60, show_default=True, help="Timed calls of each.")
@report_options
def main(runs: int, reporting: Reporting) -> None:
    """Time our engines with and without huge pages, in turns."""
    setting = given_by()
    if setting != "madvise":
        raise click.ClickException(f"{SETTING} says {setting!r}: processes do not differ there")
    with tempfile.TemporaryDirectory() as folder:
        ours = make_ours(Path(folder), "demo").contenders
        contenders = {**ours, **{name + WITH: row._replace(huge_pages=True) for name, row in ours.items()}}
        print("timing all", flush=True)
        times = take_turns(contenders, 1, runs)
    times[REFERENCE] = next(iter(times.values()))
    rows = {name: row for name, row in summarize(times).items() if name != REFERENCE}
    gains = {name: ratio(times, name, name + WITH) for name in ours}
    measured = {
        "model": "tiny, INT8, random weights, 224, batch 1",
        "runs": runs,
        "transparent_hugepage": setting,
        "load_average": os.getloadavg(),
        "models": rows,
        "gains": gains,
    }
    reporting.finish("huge_pages", measured, check(gains))


if __name__ == "__main__":
    main()
