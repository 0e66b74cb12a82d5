"""The command `benchmark`: an artifact's latency against the FP32 PyTorch reference, both timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.early import check_threads
from convnext_edge.commands.options import (
    DeviceRunner,
    Model,
    OnDevice,
    RunOn,
    Runs,
    WorkspaceFolder,
)
from convnext_edge.commands.remedies import NOTHING, Remedy, after_benchmark
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import MIB, command_line, device_line, lines, verdict
from convnext_edge.cpu import read_cpu
from convnext_edge.devices.address import Where
from convnext_edge.devices.description import DeviceDescription
from convnext_edge.errors import TargetError, UsageError
from convnext_edge.progress import phase
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import ON_CPUS, find_target

if TYPE_CHECKING:
    from convnext_edge.artifacts.artifact import Artifact
    from convnext_edge.evaluation.measured import Measured
    from convnext_edge.targets.base import Session


@dataclass(frozen=True)
class Milliseconds(Result):
    """Percentiles of single calls, in milliseconds of wall time."""

    p50: float
    p90: float
    p99: float
    min: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f}  p90 {self.p90:.2f}  p99 {self.p99:.2f}  min {self.min:.2f} ms"


@dataclass(frozen=True)
class Benchmark(Result):
    """Latencies of a candidate and of the FP32 PyTorch reference, interleaved in one run."""

    artifact: Path
    target: str
    runtime_version: str
    batch: int  # images in a call
    threads: int  # of either
    runs: int  # timed calls of each
    cpu: str
    isa: tuple[str, ...]  # its instruction sets that decide how INT8 runs
    candidate_ms: Milliseconds
    reference_ms: Milliseconds | None  # None on a device, which has no PyTorch; so are the next two
    speedup: float | None  # ratio of the medians
    speedup_ci95: tuple[float, float] | None  # its 95 % interval, over the rounds
    reliable: bool  # False on a machine that was too busy; no gate on speed passes then
    throughput_ips: float  # images a second of the candidate
    peak_rss_bytes: int | None  # of a process that does nothing but run the candidate; None if not told
    passed: bool
    fp16_ms: Milliseconds | None = (
        None  # of an FP16 engine of the same runtime, which INT8 has to beat on a GPU
    )
    advice: str | None = None  # then "ship INT8" or "ship FP16"
    doubt: str = ""  # why it is not reliable
    gates: tuple[str, ...] = ()  # what the gates are on that decided `passed`
    device: DeviceDescription | None = None  # that the candidate ran on; None: this machine

    def summary(self) -> str:
        """Return the figures as lines."""
        memory = "unknown" if self.peak_rss_bytes is None else f"{self.peak_rss_bytes / MIB:.0f} MiB"
        return lines(
            ("candidate", f"{self.artifact} on {self.target} {self.runtime_version}"),
            *device_line(self.device),
            ("CPU", self.cpu),
            ("", " ".join(self.isa)),
            ("calls", f"{self.runs} of batch {self.batch} with {self.threads} thread(s)" + self._interleaved),
            ("candidate", self.candidate_ms),
            *self._against_reference(),
            *self._fp16(),
            *([("", f"NOT to be relied on: {self.doubt}")] if self.doubt else []),
            ("throughput", f"{self.throughput_ips:.1f} images/s"),
            ("memory", f"{memory} at the peak"),
            ("gates", verdict(self.gates, self.passed)),
            *self._remedy.rows,
        )

    def next_command(self) -> str:
        """Return what puts an engine that passed into an application, or else what finds a faster one."""
        if not self.passed:
            return self._remedy.command
        engine = self.target in ON_CPUS and self.artifact.name.endswith(find_target(self.target).suffix)
        return command_line("embed", self.artifact, "--lang", "cpp") if engine else ""

    @property
    def _interleaved(self) -> str:
        return "" if self.reference_ms is None else ", interleaved"

    def _against_reference(self) -> list[tuple[str, object]]:
        if self.speedup_ci95 is None:
            return [("reference", "none: PyTorch is not on the device; `compare --on` times FP32 engines")]
        low, high = self.speedup_ci95
        return [
            ("reference", f"{self.reference_ms}  (FP32 PyTorch)"),
            ("speedup", f"{self.speedup:.2f}x (95 %: {low:.2f} to {high:.2f})"),
        ]

    @property
    def _remedy(self) -> Remedy:
        return NOTHING if self.passed else after_benchmark(self.threads, doubted=bool(self.doubt))

    def _fp16(self) -> list[tuple[str, object]]:
        if self.fp16_ms is None:
            return []
        ratio = self.fp16_ms.p50 / self.candidate_ms.p50
        return [("FP16", self.fp16_ms), ("advice", f"{self.advice}: INT8 is {ratio:.2f}x FP16")]


@command(example="convnext-edge benchmark --threads 1 --min-speedup 2")
def benchmark(
    model: Model = None,
    *,
    target: RunOn = None,
    on: OnDevice = None,
    runner: DeviceRunner = None,
    batch: Annotated[int, Option("Number of images in a call.", at_least=1)] = 1,
    threads: Annotated[
        int | None, Option("Threads of reference and candidate.  [default: all CPUs]", at_least=1)
    ] = None,
    runs: Runs = 50,
    min_speedup: Annotated[
        float | None,
        Option("Gate: least ratio of the median latencies.", metavar="X", at_least=0, above=True),
    ] = None,
    workspace: WorkspaceFolder = None,
) -> Benchmark:
    """Time MODEL (default: the newest) against FP32 PyTorch, interleaved.

    model: an ONNX file or engine of ours. min_speedup is a gate, see `passed`. The result is kept in the
    workspace for `report`. On a machine that is too busy, `reliable` is False and no gate passes. With `on`,
    an engine is timed on the device, by itself: there is no PyTorch.
    Raises ArtifactError, DeviceError, TargetError, UsageError.
    """
    where = Where.parse(on, runner)
    if where is None:
        check_threads(threads)
    else:
        check_alone(batch, min_speedup)
    with importing():
        from convnext_edge.commands.on_device import time_there
        from convnext_edge.evaluation.candidates import find_candidate, target_of
        from convnext_edge.evaluation.records import keep

    space = Workspace.at(workspace)
    artifact = find_candidate(model, target, space, engine=where is not None)
    chosen = target_of(artifact, target)
    if where is None:
        found = time_here(artifact, chosen, space, batch=batch, threads=threads, runs=runs)
    else:
        found = time_there(artifact, where, space, threads=threads, runs=runs)
    result = result_of(found, artifact.path, chosen, batch=batch, runs=runs, min_speedup=min_speedup)
    keep("benchmark", result.to_json(), artifact, space)
    return result


def result_of(
    found: Measured, engine: Path, target: str, *, batch: int, runs: int, min_speedup: float | None
) -> Benchmark:
    """Return what the command says of the times that were measured."""
    speedup, doubted, candidate_ms = found.speedup, found.doubt, percentiles(found.candidate)
    fp16_ms = None if found.rival is None else percentiles(found.rival)
    return Benchmark(
        artifact=engine,
        target=target,
        runtime_version=found.runtime_version,
        batch=batch,
        threads=found.threads,
        runs=runs,
        cpu=found.cpu.name,
        isa=found.cpu.isa,
        candidate_ms=candidate_ms,
        reference_ms=None if found.reference is None else percentiles(found.reference),
        speedup=None if speedup is None else speedup.value,
        speedup_ci95=None if speedup is None else (speedup.low, speedup.high),
        reliable=not doubted,
        doubt=doubted,
        throughput_ips=round(1000 * batch / candidate_ms.p50, 2),
        peak_rss_bytes=found.peak_rss_bytes,
        gates=() if min_speedup is None else ("speed",),
        passed=min_speedup is None or (not doubted and speedup is not None and speedup.value >= min_speedup),
        fp16_ms=fp16_ms,
        advice=None if fp16_ms is None else advice(candidate_ms, fp16_ms),
        device=found.device,
    )


def check_alone(batch: int, min_speedup: float | None) -> None:
    """Raise UsageError for what a device cannot do: it has the engine alone, for one image a call."""
    if batch != 1:
        raise UsageError(
            f"--batch {batch} means nothing with --on: the program there shows the engine one image a call",
            hint="Leave it out.",
        )
    if min_speedup is not None:
        raise UsageError(
            "--min-speedup means nothing with --on: PyTorch, which it compares with, is not on the device",
            hint="Compare with the FP32 engine there: convnext-edge compare --methods fp32,ptq --on URL.",
        )


def time_here(
    artifact: Artifact, target: str, workspace: Workspace, *, batch: int, threads: int | None, runs: int
) -> Measured:
    """Time an artifact on this machine, in turns with the reference."""
    with importing():
        from convnext_edge.evaluation.load import watched_load
        from convnext_edge.evaluation.measured import Measured
        from convnext_edge.evaluation.memory import peak_rss
        from convnext_edge.evaluation.timing import check_threads as counted

    count = counted(threads)
    with watched_load() as load:
        times = time_candidate(artifact, target, workspace, batch=batch, threads=count, runs=runs)
    return Measured(
        reference=times[0],
        candidate=times[1],
        rival=times[2] if len(times) > 2 else None,
        load=load,
        cpu=read_cpu(),
        threads=count,
        peak_rss_bytes=peak_rss(artifact, target, batch=batch, threads=count),
        runtime_version=find_target(target).version(),
    )


def time_candidate(
    artifact: Artifact, target: str, workspace: Workspace, *, batch: int, threads: int, runs: int
) -> list[list[float]]:
    """Return milliseconds of single calls: of reference, candidate and, where INT8 has one, FP16 rival."""
    with importing():
        from convnext_edge.checkpoints.kept_weights import open_source
        from convnext_edge.evaluation.candidates import open_session
        from convnext_edge.evaluation.rival import open_rival
        from convnext_edge.evaluation.timing import interleave
        from convnext_edge.images.noise import noise
        from convnext_edge.images.transform import as_reference_takes
        from convnext_edge.network.threads import operator_threads
        from convnext_edge.targets.torch import TorchSession

    reference = TorchSession(open_source(artifact, workspace).reference, threads)
    described = artifact.description
    images = noise(described.preprocessing.shape, described.input_type, batch=batch)
    normalized = as_reference_takes(images, described.preprocessing)
    with open_session(artifact, target, threads) as candidate:
        refuse_simulated(candidate, target)
        calls: list[Callable[[], object]] = [
            lambda: reference.run(normalized),
            lambda: candidate.run(images),
        ]
        with open_rival(artifact, target, workspace) as rival:
            if rival is not None:
                calls.append(lambda: rival.run(images))
            with phase(f"timing {artifact.path.name} on {target}"), operator_threads(threads):
                return interleave(tuple(calls), runs)


def refuse_simulated(session: Session, target: str) -> None:
    """Raise TargetError for a simulation, which has no latency worth telling."""
    if session.simulated:
        raise TargetError(
            f"{target} cannot be timed here ({session.label})",
            hint="Run benchmark on the device; validate works here.",
        )


def advice(int8: Milliseconds, fp16: Milliseconds) -> str:
    """Return which engine to ship: INT8 has its price in accuracy, and must be faster to be worth it."""
    return "ship INT8" if int8.p50 < fp16.p50 else "ship FP16"


def percentiles(times: Sequence[float]) -> Milliseconds:
    """Return the percentiles of a column of milliseconds."""
    import numpy as np

    p50, p90, p99 = (round(float(value), 4) for value in np.percentile(times, (50, 90, 99)))
    return Milliseconds(p50=p50, p90=p90, p99=p99, min=round(min(times), 4))
