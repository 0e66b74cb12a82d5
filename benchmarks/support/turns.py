"""Models that are timed in turns, each in a process of its own.

Method. Each model has a process of its own, and the processes take turns, one call each, round after
round, while all others sleep. A busy machine slows all alike then, and ratios hold where milliseconds
do not. Each turn begins with a call that is not timed: the others have emptied the caches.

Why not one process and no pause. The threads of a runtime do not sleep when a call returns: with more
than one, they spin in wait of the next. On two cores ONNX Runtime's burnt 40 ms of CPU after each call,
libgomp's (PyTorch) 2 to 10 ms, OpenVINO's 1 ms, and whoever came next found a core taken: with a pause
of 2 ms, PyTorch behind ONNX Runtime took 109 ms in place of 68, and FP32 in ONNX Runtime behind INT8 89
in place of 54. So each turn ends with a longer pause (`SETTLE`), and the report tells what each burns in
it (`idle_cpu_ms`).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convnext_edge.evaluation.timing import times_as_fast
from convnext_edge.rivals.turn import WARM_UP, Turn, take_turn

REFERENCE = "reference"  # the contender that `summarize` holds the others against


class Contender(NamedTuple):
    runtime: str
    path: Path


def open_call(contender: Contender, threads: int) -> Callable[[], object]:
    """One call on the same noise, with the session options of the package."""
    images = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    session: Any
    if contender.runtime == "torch":
        from convnext_edge.checkpoints.loading import load_checkpoint
        from convnext_edge.targets.torch import TorchSession

        session = TorchSession(load_checkpoint(contender.path).model, threads)
    elif contender.runtime == "openvino":
        from convnext_edge.targets.openvino import OpenVINOSession

        session = OpenVINOSession(contender.path, threads)
    else:
        from convnext_edge.targets.onnxruntime import ONNXRuntimeSession

        session = ONNXRuntimeSession(contender.path, threads)
    return lambda: session.run(images)


def serve(contender: Contender, threads: int, connection: Connection) -> None:
    """Time a call whenever asked to, until the other end closes."""
    call = open_call(contender, threads)
    for _ in range(WARM_UP):
        call()
    connection.send("ready")
    while connection.recv():
        connection.send(take_turn(call))


def take_turns(contenders: dict[str, Contender], threads: int, runs: int) -> dict[str, np.ndarray]:
    """(runs, 3) for each contender: see `Turn`."""
    context = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    processes = []
    for name, contender in contenders.items():
        ends[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(contender, threads, theirs), daemon=True))
        processes[-1].start()
        ends[name].recv()
    times: dict[str, list[Turn]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, end in ends.items():
            end.send(True)
            times[name].append(end.recv())
    for end, process in zip(ends.values(), processes, strict=True):
        end.send(False)
        process.join()
    return {name: np.array(rows) for name, rows in times.items()}


def summarize(times: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    reference = np.median(times[REFERENCE][:, 0])
    rows = {}
    for name, (calls, idle, cpu) in ((name, table.T) for name, table in times.items()):
        p50, p90 = np.percentile(calls, (50, 90))
        figures = {"p50_ms": p50, "p90_ms": p90, "min_ms": calls.min(), "speedup": reference / p50}
        figures |= {"idle_cpu_ms": np.median(idle), "cpu_ms": np.median(cpu)}
        rows[name] = {key: round(float(value), 3) for key, value in figures.items()}
    return rows


def ratio(times: dict[str, np.ndarray], slow: str, fast: str) -> dict[str, Any]:
    """Ratio of the medians with its 95 % interval."""
    found = times_as_fast(times[slow][:, 0], times[fast][:, 0])
    return {"ratio": found.value, "ci95": [found.low, found.high]}
