"""Sessions under many threads for long: the same answers, no error, and memory that stays as it is.

    python -m benchmarks.measure.soak --minutes 10

Three programs run side by side, each with 8 threads: Python with an engine of OpenVINO and one of ONNX
Runtime, and embedded C++ with each of the two. Every thread opens a session of its own and asks it, asks the
one that all share, closes its own, and so on, with batches (in C++: pictures) of changing sizes. Every
answer is compared with the first to the same question, bit by bit.

Memory is the resident set of each program, sampled once a second. The first fifth of the time is warm-up:
growth is the median of the last fifth against that of the second; `slope` is that of a straight line through
all samples behind the warm-up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil

from benchmarks.support.embedding import RUNTIMES, Embedded, embed_int8
from benchmarks.support.reports import Bar, Reporting, report_options

from support.embedded import Build, build, noise, onnxruntime_options, openvino_options, packed  # isort: skip

SIZES = ((32, 32), (91, 57), (200, 150), (640, 480))  # of the pictures in C++: width, height
INTERVAL = 1.0  # seconds from one sample to the next
FIFTHS = 5
SLACK = 300.0  # seconds beyond their time after which programs count as hanging
MIB = 2**20


@dataclass(frozen=True)
class Program:
    """What is started: a command, and what it reads from its standard input."""

    name: str
    command: list[str]
    given: bytes = b""


def programs(folder: Path, seconds: float, threads: int) -> Iterator[Program]:
    """Make the engines and what runs them."""
    embedded = [embed_int8("demo", runtime, "demo", folder) for runtime in RUNTIMES]
    module = [sys.executable, "-m", "benchmarks.support.soaking"]
    yield Program("Python", [*module, str(seconds), str(threads), *(str(each.engine) for each in embedded)])
    pictures = packed([noise(*size) for size in SIZES])
    for each in embedded:
        harness = build_release(each, folder / f"build-{each.runtime}").harness
        command = [str(harness), str(each.folder / "model"), "soak", str(threads), str(seconds)]
        yield Program(f"C++, {each.runtime}", command, pictures)


def build_release(embedded: Embedded, place: Path) -> Build:
    place.mkdir()
    return build(
        embedded.folder,
        place,
        openvino_options() if embedded.runtime == "openvino" else onnxruntime_options(place),
    )


def soak(wanted: list[Program], seconds: float) -> dict[str, dict[str, Any]]:
    """Run programs that end by themselves side by side; return the counts and the memory of each."""
    with ExitStack() as open_files:
        running = {}
        for program in wanted:
            question = open_files.enter_context(tempfile.TemporaryFile())
            question.write(program.given)
            question.seek(0)
            running[program.name] = subprocess.Popen(program.command, stdin=question, stdout=subprocess.PIPE)
        samples = sample(running, seconds + SLACK)
        found = {}
        for name, process in running.items():
            process.kill()  # those that hang
            out, _ = process.communicate()
            counts = json.loads(out) if process.returncode == 0 else {"errors": 1}
            found[name] = {"exit_code": process.returncode, **counts, **memory(samples[name])}
    return found


def sample(running: dict[str, subprocess.Popen[bytes]], limit: float) -> dict[str, list[tuple[float, int]]]:
    """(seconds, bytes of the resident set) of each program, until all have ended or the limit is over."""
    watched = {name: psutil.Process(process.pid) for name, process in running.items()}
    samples: dict[str, list[tuple[float, int]]] = {name: [] for name in running}
    began = time.monotonic()
    while time.monotonic() < began + limit and any(each.poll() is None for each in running.values()):
        for name, process in watched.items():
            if running[name].poll() is None:
                samples[name].append((time.monotonic() - began, process.memory_info().rss))
        time.sleep(INTERVAL)
    return samples


def memory(samples: list[tuple[float, int]]) -> dict[str, Any]:
    """How much memory a program took, and how it grew; the last sample, of its end, is left out."""
    seconds, rss = (np.array(column, dtype=float) for column in zip(*samples[:-1], strict=True))
    fifths = np.array_split(rss, FIFTHS)
    second, last = (float(np.median(fifth)) for fifth in (fifths[1], fifths[-1]))
    warm = len(fifths[0])
    slope = np.polyfit(seconds[warm:], rss[warm:], 1)[0]
    return {
        "samples": len(rss),
        "second_fifth_rss_bytes": int(second),
        "last_fifth_rss_bytes": int(last),
        "growth": round(last / second - 1, 5),
        "slope_bytes_a_minute": int(60 * slope),
        "rss_mib": [round(float(value) / MIB, 2) for value in rss],
    }


def bars(found: dict[str, dict[str, Any]]) -> Iterator[Bar]:
    for name, row in found.items():
        yield Bar(f"{name}: errors", row["errors"] + abs(row["exit_code"]), at_most=0)
        yield Bar(f"{name}: answers that are not the first", row.get("wrong", 1), at_most=0)
        yield Bar(f"{name}: calls", row.get("calls", 0), at_least=1)
        yield Bar(f"{name}: growth of memory", row["growth"], at_most=0.01)


@click.command()
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--threads", default=8, show_default=True)
@report_options
def main(minutes: float, threads: int, reporting: Reporting) -> None:
    """Keep sessions busy, and watch their memory."""
    with tempfile.TemporaryDirectory() as scratch:
        found = soak(list(programs(Path(scratch), 60 * minutes, threads)), 60 * minutes)
    measured = {"minutes": minutes, "threads": threads, "programs": found}
    reporting.finish("soak", measured, bars(found))


if __name__ == "__main__":
    main()
