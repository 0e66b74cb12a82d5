"""benchmark: latency of an artifact against the FP32 PyTorch reference, the two interleaved in one run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.source import open_source
from convnext_edge.cpu import read_cpu
from convnext_edge.errors import TargetError, UsageError
from convnext_edge.evaluation.candidates import find_candidate, open_rival, open_session, target_of
from convnext_edge.evaluation.memory import noise, peak_rss
from convnext_edge.evaluation.records import keep
from convnext_edge.evaluation.timing import check_threads, interleave
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.results import Benchmark, Milliseconds
from convnext_edge.targets.base import Session
from convnext_edge.targets.registry import find_target
from convnext_edge.targets.torch import TorchSession


def benchmark(
    model: AnyPath | None = None,
    *,
    target: str | None = None,
    batch: int = 1,
    threads: int | None = None,
    runs: int = 50,
    min_speedup: float | None = None,
    workspace: AnyPath | None = None,
) -> Benchmark:
    """Time single calls of reference and candidate in turn.

    model: an ONNX file or engine of ours, by default the newest. threads: of either, all CPUs by
    default. runs: timed calls of each. min_speedup: a gate on the ratio of the medians, see `passed`. The
    result is kept in the workspace for `report`.
    Raises ArtifactError, TargetError, UsageError.
    """
    model = as_path(model)
    for name, value in (("batch", batch), ("runs", runs), ("threads", threads)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value} is less than 1", hint="Give a whole number from 1.")
    count = check_threads(threads)
    place = Workspace.at(workspace)
    artifact = find_candidate(model, target, place)
    chosen = target_of(artifact, target)
    reference = TorchSession(open_source(artifact, place).reference, count)
    with open_session(artifact, chosen, count) as candidate:
        refuse_simulated(candidate, chosen)
        with open_rival(artifact, chosen, place) as rival:
            times = interleave(calls(reference, candidate, rival, artifact, batch), runs)
    reference_ms, candidate_ms, *fp16_ms = (percentiles(column) for column in times)
    speedup = reference_ms.p50 / candidate_ms.p50
    cpu = read_cpu()
    result = Benchmark(
        artifact=artifact.path,
        target=chosen,
        runtime_version=find_target(chosen).version(),
        batch=batch,
        threads=count,
        runs=runs,
        cpu=cpu.name,
        isa=cpu.isa,
        candidate_ms=candidate_ms,
        reference_ms=reference_ms,
        speedup=round(speedup, 3),
        throughput_ips=round(1000 * batch / candidate_ms.p50, 2),
        peak_rss_bytes=peak_rss(artifact, chosen, batch=batch, threads=count),
        passed=min_speedup is None or speedup >= min_speedup,
        fp16_ms=fp16_ms[0] if fp16_ms else None,
        advice=advice(candidate_ms, fp16_ms[0]) if fp16_ms else None,
    )
    keep(result, artifact, place)
    return result


def refuse_simulated(session: Session, target: str) -> None:
    """Raises TargetError: a simulation has no latency worth telling."""
    if session.simulated:
        raise TargetError(
            f"{target} cannot be timed here ({session.label})",
            hint="Run benchmark on the device; validate works here.",
        )


def advice(int8: Milliseconds, fp16: Milliseconds) -> str:
    """INT8 has its price in accuracy: it must be faster to be worth it."""
    return "ship INT8" if int8.p50 < fp16.p50 else "ship FP16"


def calls(
    reference: TorchSession, candidate: Session, rival: Session | None, artifact: Artifact, batch: int
) -> tuple[Callable[[], object], ...]:
    """One call of each model on the same noise: reference, candidate and, where there is one, its rival."""
    images = noise(artifact, batch)
    normalized = as_reference_takes(images, artifact.description.preprocessing)
    both = (lambda: reference.run(normalized)), (lambda: candidate.run(images))
    return both if rival is None else (*both, lambda: rival.run(images))


def percentiles(times: list[float]) -> Milliseconds:
    p50, p90, p99 = (round(float(value), 4) for value in np.percentile(times, (50, 90, 99)))
    return Milliseconds(p50=p50, p90=p90, p99=p99, min=round(min(times), 4))
