"""Models that are timed in turns, each in a process of its own.

Method. Each model has a process of its own, and the processes take turns, one call each, round after
round, while all others sleep. A busy machine slows all alike then, and ratios hold where milliseconds
do not. Each turn begins with a call that is not timed, as the others have emptied the caches; but for
calls of over 0.3 seconds, which fill them in a hundredth of that.

Why not one process and no pause. The threads of a runtime do not sleep when a call returns: with more
than one, they spin in wait of the next. On two cores ONNX Runtime's burnt 40 ms of CPU after each call,
libgomp's (PyTorch) 2 to 10 ms, OpenVINO's 1 ms, and whoever came next found a core taken: with a pause
of 2 ms, PyTorch behind ONNX Runtime took 109 ms in place of 68, and FP32 in ONNX Runtime behind INT8 89
in place of 54. So each turn ends with a longer pause (`SETTLE`), and the report tells what each burns in
it (`idle_cpu_ms`).
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convnext_edge.evaluation.timing import times_as_fast
from convnext_edge.rivals.turn import WARM_UP, Turn, take_turn

REFERENCE = "reference"  # the contender that `summarize` holds the others against
LONG = 0.3  # seconds: weights come into the caches in a hundredth of it
TOO_LONG = 2.0  # seconds of a first call that needs no second one
FEWEST = 5  # rounds, however long they take: with fewer, the interval of a median tells nothing


class Contender(NamedTuple):
    runtime: str
    path: Path
    size: int | tuple[int, int] = 224  # edge of the images in pixels, or rows and columns
    batch: int = 1
    bfloat16: bool = False  # whether OpenVINO computes in bfloat16


class LostError(Exception):
    """Says which contender's process ended by itself."""


def open_call(contender: Contender, threads: int) -> Callable[[], object]:
    """One call on the same noise, with the session options of the package."""
    size = contender.size
    shape = (contender.batch, 3, *((size, size) if isinstance(size, int) else size))
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    session: Any
    if contender.bfloat16:
        from convnext_edge.rivals.recipes.openvino import run

        call = run(contender.path, threads, precision="bf16")
        return lambda: call(images)
    if contender.runtime == "torch":
        from convnext_edge.targets.torch import TorchSession

        session = TorchSession(load_module(contender.path), threads)
    elif contender.runtime == "openvino":
        from convnext_edge.targets.openvino import OpenVINOSession

        session = OpenVINOSession(contender.path, threads)
    else:
        from convnext_edge.targets.onnxruntime import ONNXRuntimeSession

        session = ONNXRuntimeSession(contender.path, threads)
    return lambda: session.run(images)


def load_module(path: Path) -> Any:
    """The module of weights of ours, of a checkpoint, or of an exported program (.pt2)."""
    import torch

    from convnext_edge.artifacts.store import open_artifact
    from convnext_edge.checkpoints.loading import load_checkpoint, load_weights

    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    if path.with_name(f"{path.name}.json").exists():  # tells what shows in no tensor
        return load_weights(path, open_artifact(path).description.architecture)
    return load_checkpoint(path).model


def serve(contender: Contender, threads: int, connection: Connection) -> None:
    """Time a call whenever asked to, until the other end closes."""
    call = open_call(contender, threads)
    long = warm_up(call) > LONG
    connection.send("ready")
    while connection.recv():
        connection.send(take_turn(call, fills=not long))


def warm_up(call: Callable[[], object]) -> float:
    """Make the first calls; return the seconds of the last. Behind one that is too long there is none."""
    seconds = 0.0
    for _ in range(WARM_UP):
        started = time.perf_counter()
        call()
        seconds = time.perf_counter() - started
        if seconds > TOO_LONG:
            break
    return seconds


def take_turns(
    contenders: dict[str, Contender], threads: int, runs: int, *, seconds: float | None = None
) -> dict[str, np.ndarray]:
    """(runs, 3) for each contender: see `Turn`.

    seconds: no round begins behind them, but for the first few. Raises LostError.
    """
    times: dict[str, list[Turn]] = {name: [] for name in contenders}
    with served(contenders, threads) as ask:
        started = time.perf_counter()
        for done in range(runs):
            if seconds is not None and done >= FEWEST and time.perf_counter() - started > seconds:
                break
            for name in contenders:
                times[name].append(ask(name))
    return {name: np.array(rows) for name, rows in times.items()}


@contextmanager
def served(contenders: dict[str, Contender], threads: int) -> Iterator[Callable[[str], Turn]]:
    """Start a process for each contender; yield what lets one of them, by name, take its turn."""
    context = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    processes: list[BaseProcess] = []

    def receive(name: str) -> Any:
        try:
            return ends[name].recv()
        except EOFError:
            raise LostError(f"the process of {name} ended by itself; out of memory?") from None

    def ask(name: str) -> Turn:
        ends[name].send(True)
        return Turn(*receive(name))

    try:
        names = list(contenders)
        for number, name in enumerate(names):
            ends[name], theirs = context.Pipe()
            arguments = (contenders[name], threads, theirs)
            processes.append(context.Process(target=serve, args=arguments, daemon=True))
            processes[-1].start()
            theirs.close()  # so that its end is noticed here
            if number:  # two begin side by side
                receive(names[number - 1])
        receive(names[-1])
        yield ask
        for end in ends.values():
            end.send(False)
    finally:
        for end in ends.values():
            end.close()
        for process in processes:
            process.join(timeout=10)
            process.kill()  # what has not ended by then hangs


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
