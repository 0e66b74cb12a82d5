"""One INT8 engine timed by all who time it: here, on a device, in embedded C++, by OpenVINO's own tool.

    python -m benchmarks.measure.callers

ConvNeXt-T with random weights, one thread, one image a call. The device is this machine, behind an
OpenSSH server on loopback with a key of its own. All take turns in random order, some calls each; a turn
gives one median, and ratios are of these. Requests in flight: `benchmark --hint throughput` beside
`benchmark_app`, on two threads.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks.support.embedding import RUNTIMES, Embedded, embed_int8
from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import ratio
from convnext_edge import benchmark

from support.embedded import build, onnxruntime_options, openvino_options, run  # isort: skip
from support.ssh_server import SSHServer  # isort: skip

CALLS = 30  # of a turn
SECONDS = 3.0  # of a turn with requests in flight
FLYING = 2  # requests, on as many threads
Turns = dict[str, Callable[[], float]]  # from a caller to its median in ms, or its images a second


@contextmanager
def loopback(folder: Path, onnxruntime: str) -> Iterator[SSHServer]:
    """A device on this machine; `ssh` on the PATH knows its key meanwhile."""
    folder.mkdir()
    server = SSHServer(folder, {"ONNXRuntime_ROOT": onnxruntime})
    path = os.environ["PATH"]
    os.environ |= {"PATH": f"{folder / 'bin'}{os.pathsep}{path}", "ONNXRuntime_ROOT": onnxruntime}
    try:
        yield server
    finally:
        os.environ["PATH"] = path
        os.environ.pop("ONNXRuntime_ROOT")
        server.stop()


def single_calls(embedded: Embedded, prefix: Path, url: str, workspace: Path) -> Turns:
    """Who times single calls of an engine, one thread each."""
    picture = workspace / "picture.ppm"
    Image.effect_noise((640, 480), 80).convert("RGB").save(picture)
    model = prefix / "share" / "convnext_edge" / "model"
    bench: list[str | Path] = [
        prefix / "bin" / "classify",
        "--model",
        model,
        "--threads",
        "1",
        "--runs",
        str(CALLS),
        "--bench",
    ]
    options: dict[str, Any] = {"threads": 1, "runs": CALLS, "workspace": workspace}
    turns: Turns = {
        "classify --bench": lambda: float(json.loads(run(*bench, picture))["candidate_ms"]["p50"]),
        "benchmark --on": lambda: benchmark(embedded.engine, on=url, **options).candidate_ms.p50,
        "benchmark": lambda: benchmark(embedded.engine, **options).candidate_ms.p50,
    }
    if embedded.runtime == "openvino":
        turns["benchmark_app"] = lambda: own_tool(embedded.engine, 1, "sync", "Median")
    return turns


def in_flight(engine: Path, workspace: Path) -> Turns:
    """Who times an OpenVINO engine with requests in flight."""

    def ours() -> float:
        found = benchmark(
            engine, threads=FLYING, hint="throughput", streams=FLYING, duration=SECONDS, workspace=workspace
        )
        return found.throughput_ips

    return {"benchmark": ours, "benchmark_app": lambda: own_tool(engine, FLYING, "async", "Throughput")}


def own_tool(engine: Path, threads: int, api: str, figure: str) -> float:
    """A figure that `benchmark_app` prints: "Median" in ms, or "Throughput" in images a second."""
    program = Path(sys.executable).with_name("benchmark_app")
    options = f"-hint none -nstreams {threads} -nthreads {threads} -nireq {threads} -api {api}"
    options += f" -t {SECONDS:.0f} -data_shape [1,3,224,224] -infer_precision f32"
    text = run(program, "-m", engine, *options.split()).decode()
    found = re.search(rf"{figure}:\s+([0-9.]+)", text)
    if found is None:
        raise click.ClickException(f"benchmark_app printed no {figure}: {text[-1000:]}")
    return float(found[1])


def take_turns(turns: Turns, rounds: int) -> dict[str, np.ndarray]:
    """(rounds, 1) figures of each."""
    print("timing", *turns, file=sys.stderr)
    found: dict[str, list[float]] = {name: [] for name in turns}
    generator = random.Random(0)
    for number in range(rounds):
        for name in generator.sample(list(turns), len(turns)):
            found[name].append(turns[name]())
        print(number, {name: column[-1] for name, column in found.items()}, file=sys.stderr)
    return {name: np.array(column)[:, None] for name, column in found.items()}


def summed_up(times: dict[str, np.ndarray], against: str) -> dict[str, Any]:
    """Medians of the turns, and their ratios to those of one caller."""
    return {
        "medians": {name: round(float(np.median(column)), 3) for name, column in times.items()},
        "ratios": {name: ratio(times, name, against) for name in times if name != against},
        "against": against,
    }


def check(measured: dict[str, Any]) -> Iterator[Bar]:
    for runtime, found in measured["single calls"].items():
        there = found["ratios"]["benchmark --on"]["ratio"]
        yield Bar(f"{runtime}: benchmark --on / classify --bench", there, at_most=1.03)
    own = measured["own tool"]["ratios"]["benchmark"]["ratio"]
    yield Bar("openvino: benchmark / benchmark_app, single calls", own, at_least=0.95, at_most=1.05)
    flying = measured["in flight"]["ratios"]["benchmark"]["ratio"]
    yield Bar("openvino: benchmark / benchmark_app, images a second", flying, at_least=0.95, at_most=1.05)


@click.command()
@click.option("--rounds", default=20, show_default=True, help="Turns of each.")
@report_options
def main(rounds: int, reporting: Reporting) -> None:
    """Let each way to time an engine time the same ones, in turns."""
    measured: dict[str, Any] = {"rounds": rounds, "calls": CALLS, "seconds": SECONDS, "single calls": {}}
    with tempfile.TemporaryDirectory() as folder:
        (found,) = onnxruntime_options(Path(folder))
        with loopback(Path(folder) / "sshd", found.partition("=")[2]) as server:
            for runtime in RUNTIMES:
                place = Path(folder) / f"{runtime}-engine"
                place.mkdir()
                embedded = embed_int8("tiny", runtime, "demo", place)
                options = openvino_options() if runtime == "openvino" else [found]
                build(embedded.folder, place, [*options, "-DCONVNEXT_EDGE_INSTALL_RUNTIME=ON"])
                times = take_turns(single_calls(embedded, place / "prefix", server.url, place), rounds)
                measured["single calls"][runtime] = summed_up(times, "classify --bench")
                if runtime == "openvino":
                    measured["own tool"] = summed_up(times, "benchmark_app")
                    flying = take_turns(in_flight(embedded.engine, place), rounds)
                    measured["in flight"] = summed_up(flying, "benchmark_app")
    measured["load_average"] = os.getloadavg()
    reporting.finish("callers", measured, check(measured))


if __name__ == "__main__":
    main()
