"""Sessions under many threads for long: the same answers, no error, and memory that stays as it is.

    python -m benchmarks.measure.soak --minutes 10

Three programs run side by side, each with 8 threads: Python with an engine of OpenVINO and one of ONNX
Runtime, and embedded C++ with each of the two. Beside each runs its control: the same load on the bare
runtime, in a program without our code. In rounds, every thread opens a session of its own, asks it and the
one that all share, with batches (in C++: pictures) of changing sizes, and closes its own. Every answer is
compared with the first to the same question, bit by bit.

Memory is the resident set of each program behind each round, when only the shared sessions are left (in
between, it depends on how many others are open at that moment), and when the allocator has given back what it
keeps for later (that depends on how the threads took turns). Warm-up is: all threads ask the shared session
for the most at once, and then rounds for `--warm-up` minutes. `growth` is the median of the last fifth of the
rounds behind it against that of the first; `allocated_growth` likewise, of the bytes that the program holds
from the allocator: a leak is in both, pages that are occupied in part only in the first. The slope is that of
a straight line through the second half: of a plateau it is 0. `peak` is sampled once a second.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import click
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.support.embedding import RUNTIMES, Embedded, embed_int8
from benchmarks.support.reports import Bar, Reporting, report_options

from support.embedded import Build, build, noise, onnxruntime_options, openvino_options, packed, run  # isort: skip

SIZES = ((32, 32), (91, 57), (200, 150), (640, 480))  # of the pictures in C++: width, height
INTERVAL = 1.0  # seconds from one sample to the next
FIFTHS = 5
KEPT = 20  # rounds whose memory the report has, of each program
ROUNDS = 25  # that growth is judged by: five in each fifth
MOST = 0.01  # growth
SLACK = 300.0  # seconds beyond their time after which programs count as hanging
NOTHING: dict[str, Any] = {"calls": 0, "opened": 0, "wrong": 0, "errors": 1, "at_rest": []}
CONTROL = ", bare"  # behind the name of a program, that of its control
BARE = Path(__file__).parents[1] / "support" / "bare"


@dataclass(frozen=True)
class Program:
    """What is started: a command, and what it reads from its standard input."""

    name: str
    command: list[str]
    given: bytes = b""


def programs(folder: Path, seconds: float, threads: int) -> Iterator[Program]:
    """Make the engines and what runs them."""
    embedded = [embed_int8("demo", runtime, "demo", folder) for runtime in RUNTIMES]
    for name, kind in (("Python", "soaking_ours"), ("Python" + CONTROL, "soaking_bare")):
        module = [sys.executable, "-m", "benchmarks.support.soaking", kind]
        yield Program(name, [*module, str(seconds), str(threads), *(str(each.engine) for each in embedded)])
    pictures = packed([noise(*size) for size in SIZES])
    for each in embedded:
        harness = build_release(each, folder / f"build-{each.runtime}").harness
        command = [str(harness), str(each.folder / "model"), "soak", str(threads), str(seconds)]
        yield Program(f"C++, {each.runtime}", command, pictures)
        bare = build_bare(each, folder / f"build-{each.runtime}")
        yield Program(
            f"C++, {each.runtime}{CONTROL}", [str(bare), str(each.engine), str(threads), str(seconds)]
        )


def runtime_options(embedded: Embedded, place: Path) -> list[str]:
    return openvino_options() if embedded.runtime == "openvino" else onnxruntime_options(place)


def build_bare(embedded: Embedded, place: Path) -> Path:
    """Build the control of an embedded engine in the folder of its `build_release`."""
    made = place / "bare"
    release = "-DCMAKE_BUILD_TYPE=Release"
    run("cmake", "-S", BARE, "-B", made, release, *runtime_options(embedded, place))
    run("cmake", "--build", made)
    return made / "bare"


def build_release(embedded: Embedded, place: Path) -> Build:
    place.mkdir()
    return build(embedded.folder, place, runtime_options(embedded, place))


def soak(wanted: list[Program], seconds: float, warm_up: float) -> dict[str, dict[str, Any]]:
    """Run programs that end by themselves side by side; return the counts and the memory of each."""
    with ExitStack() as opened:
        running, outputs = {}, {}
        for program in wanted:
            question, outputs[program.name] = (opened.enter_context(TemporaryFile()) for _ in range(2))
            question.write(program.given)
            question.seek(0)
            running[program.name] = Popen(program.command, stdin=question, stdout=outputs[program.name])
        peaks = watch(running, seconds + SLACK)
        found = {}
        for name, process in running.items():
            outputs[name].seek(0)
            counts = json.load(outputs[name]) if process.returncode == 0 else NOTHING
            memory = growth([row for row in counts["at_rest"] if row[0] > warm_up])
            kept = {**counts, "at_rest": counts["at_rest"][:: max(len(counts["at_rest"]) // KEPT, 1)]}
            found[name] = {"exit_code": process.returncode, "peak_rss_bytes": peaks[name], **memory, **kept}
    return found


def watch(running: dict[str, Popen[bytes]], limit: float) -> dict[str, int]:
    """The largest resident set of each program; those that still run after `limit` seconds are killed."""
    watched = {name: psutil.Process(process.pid) for name, process in running.items()}
    peaks = dict.fromkeys(running, 0)
    began = time.monotonic()
    while any(process.poll() is None for process in running.values()):
        for name, process in running.items():
            if process.poll() is None:
                peaks[name] = max(peaks[name], watched[name].memory_info().rss)
                if time.monotonic() > began + limit:
                    process.kill()
        time.sleep(INTERVAL)
    return peaks


def growth(at_rest: list[tuple[float, int, int]]) -> dict[str, Any]:
    """How memory grew from round to round, given as (seconds, resident bytes, allocated bytes).

    None where there were too few rounds.
    """
    if len(at_rest) < FIFTHS:
        return {"growth": None}
    seconds, rss, allocated = np.array(at_rest, dtype=float).T
    first, last = ends(rss)
    first_allocated, last_allocated = ends(allocated)
    half = len(rss) // 2
    slope = np.polyfit(seconds[half:], rss[half:], 1)[0]
    return {
        "rounds": len(at_rest),
        "first_fifth_rss_bytes": int(first),
        "last_fifth_rss_bytes": int(last),
        "growth": round(last / first - 1, 5),
        "last_fifth_allocated_bytes": int(last_allocated),
        "allocated_growth": round(last_allocated / first_allocated - 1, 5),
        "slope_bytes_a_minute": int(60 * slope),
    }


def ends(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the medians of the first and the last fifth."""
    fifths = np.array_split(values, FIFTHS)
    return float(np.median(fifths[0])), float(np.median(fifths[-1]))


def bars(found: dict[str, dict[str, Any]]) -> Iterator[Bar]:
    """Yield the bars; growth is ours to answer for, the control's tells how much of it is the runtime's."""
    for name, row in found.items():
        yield Bar(f"{name}: errors", row["errors"] + abs(row["exit_code"]), at_most=0)
        yield Bar(f"{name}: answers that are not the first", row["wrong"], at_most=0)
        yield Bar(f"{name}: rounds behind the warm-up", row.get("rounds", 0), at_least=ROUNDS)
        if row["growth"] is None or name.endswith(CONTROL):
            continue
        yield Bar(f"{name}: growth of memory", row["growth"], at_most=MOST)
        yield Bar(f"{name}: growth of what is allocated", row["allocated_growth"], at_most=MOST)
        control = found.get(name + CONTROL, {}).get("growth")
        if control is not None:
            yield Bar(f"{name}: growth beyond the bare runtime's", row["growth"] - control, at_most=MOST)


@click.command()
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--warm-up", default=5.0, show_default=True, help="Minutes before, whose rounds do not count.")
@click.option("--threads", default=8, show_default=True)
@report_options
def main(minutes: float, warm_up: float, threads: int, reporting: Reporting) -> None:
    """Keep sessions busy, and watch their memory."""
    seconds = 60 * (minutes + warm_up)
    with TemporaryDirectory() as scratch:
        found = soak(list(programs(Path(scratch), seconds, threads)), seconds, 60 * warm_up)
    measured = {"minutes": minutes, "warm_up": warm_up, "threads": threads, "programs": found}
    reporting.finish("soak", measured, bars(found))


if __name__ == "__main__":
    main()
