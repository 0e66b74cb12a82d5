"""How ConvNeXt-T scales on the edge: batches of 1 to 32, one and two threads, streams, 160 to 512 pixels.

    python -m benchmarks.measure.scaling

Random weights, FP32 and INT8 as this package makes them, OpenVINO and ONNX Runtime. In a row of single calls
all four have a process each and take turns: see benchmarks/support/turns.py. In a row of streams, several
requests are in flight; the models take turns by windows in one process, and a request's latency is told
beside the images a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.support.long_runs import LongRun, Plan, Row, figures, long_options
from benchmarks.support.making import FP32, INT8, RUNTIMES, WEIGHTS, Files, in_child, kept, make_ours
from benchmarks.support.reports import Reporting, report_options
from benchmarks.support.turns import Contender, ratio, take_turns
from convnext_edge.cpu import usable_cpus

MODEL, SIZE = "tiny", 224
BATCHES = (1, 2, 4, 8, 16, 32)
SIZES = (160, 224, 288, 384, 512)
THREADS = (1, 2)
STREAMS = (1, 2)


class Setting(NamedTuple):
    """What is timed in a row."""

    threads: int
    batch: int = 1
    size: int = SIZE
    streams: int | None = None  # requests in flight; None for single calls

    @property
    def name(self) -> str:
        flight = "" if self.streams is None else f", streams {self.streams}"
        return f"threads {self.threads}, batch {self.batch}, {self.size} px{flight}"


def settings() -> Iterator[Setting]:
    """All rows: batches at the usual size, sizes with a batch of one, and streams on all threads."""
    for threads in THREADS:
        yield from (Setting(threads, batch) for batch in BATCHES)
        yield from (Setting(threads, 1, size) for size in SIZES if size != SIZE)
    yield from (Setting(max(THREADS), streams=streams) for streams in STREAMS)


def measure(setting: Setting, files: Files, plan: Plan) -> Row:
    """Time all models in one setting."""
    told: Row = setting._asdict()
    if setting.streams is not None:
        return {**told, **in_child(in_streams, setting, files, plan.seconds)}
    contenders = {
        name: Contender(name.split()[0], path, setting.size, setting.batch)
        for name, path in files.items()
        if name != WEIGHTS
    }
    times = take_turns(contenders, setting.threads, plan.runs, seconds=plan.seconds)
    timed = {name: figures(calls, setting.batch) for name, calls in times.items()}
    gains = {runtime: ratio(times, f"{runtime} {FP32}", f"{runtime} {INT8}") for runtime in RUNTIMES}
    return {**told, "timed": timed, "int8_gain": gains}


def in_streams(setting: Setting, files: Files, seconds: float) -> Row:
    """Keep several requests of each model in flight, in turns; of each request, one image."""
    from convnext_edge.artifacts.store import open_artifact
    from convnext_edge.evaluation.throughput import in_flight
    from convnext_edge.images.noise import noise
    from convnext_edge.targets.registry import find_target

    names = [name for name in files if name != WEIGHTS]
    images: Any = noise((3, setting.size, setting.size), "float32", batch=1)
    with ExitStack() as stack:
        opened = []
        for name in names:
            target, artifact = find_target(name.split()[0]), open_artifact(files[name])
            streams = target.open_streams(artifact, streams=setting.streams, threads=setting.threads)
            opened.append((stack.enter_context(streams), images))
        found = in_flight(opened, seconds / len(names))
    return {
        "timed": {
            name: flow(counted.rates, counted.milliseconds)
            for name, counted in zip(names, found, strict=True)
        }
    }


def flow(rates: list[float], milliseconds: list[float]) -> Row:
    """Figures of requests in flight: images a second of each window, and milliseconds of each request."""
    from convnext_edge.evaluation.timing import interval_of_median

    return {
        "images_per_second": round(float(np.median(rates)), 3),
        "images_per_second_ci95": list(interval_of_median(rates)),
        "p50_ms": round(float(np.median(milliseconds)), 3),
        "rounds": len(rates),
    }


def rows_of(run: LongRun) -> dict[str, Callable[[], Row]]:
    """The rows by name, each with what measures it."""

    def row(setting: Setting) -> Row:
        makers: dict[str, Callable[[Path], Files]] = {
            str(setting.size): partial(make_ours, MODEL, setting.size)
        }
        return measure(setting, kept(run.scratch, makers)[str(setting.size)], run.plan)

    fitting = [setting for setting in settings() if setting.threads <= usable_cpus()]
    return {setting.name: partial(row, setting) for setting in fitting}


@click.command()
@long_options(runs=15, seconds=8.0, minutes=20.0)
@report_options
def main(plan: Plan, reporting: Reporting) -> None:
    """Time ConvNeXt-T with other batches, threads, streams and sizes."""
    run = LongRun("scaling", plan, reporting)
    wanted = rows_of(run)
    rows = run.measure(wanted)
    measured = {"model": f"{MODEL}, random weights", "rows": rows}
    run.finish(measured, [], of=len(plan.only) or len(list(settings())))


if __name__ == "__main__":
    main()
