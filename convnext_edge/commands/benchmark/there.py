"""Timing an engine on a device, where there is no PyTorch to compare with."""

from __future__ import annotations

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark.asked import RUNS
from convnext_edge.commands.benchmark.result import Benchmark, histogram, percentiles
from convnext_edge.devices.address import Where
from convnext_edge.paths import AnyPath
from convnext_edge.quiet import importing


def benchmark_there(
    model: AnyPath | None,
    target: str | None,
    where: Where,
    workspace: Workspace,
    *,
    threads: int | None,
    runs: int | None,
) -> Benchmark:
    """Time an engine on a device, one image a call, and keep the result.

    Raises ArtifactError, DeviceError, TargetError, UsageError.
    """
    with importing():
        from convnext_edge.commands.on_device import time_there
        from convnext_edge.evaluation.candidates import find_candidate, target_of
        from convnext_edge.evaluation.records import keep

    artifact = find_candidate(model, target, workspace, engine=True)
    chosen = target_of(artifact, target)
    found = time_there(artifact, where, workspace, threads=threads, runs=runs or RUNS)
    candidate_ms, doubt = percentiles(found.candidate), found.doubt
    result = Benchmark(
        artifact=artifact.path,
        target=chosen,
        runtime_version=found.runtime_version,
        threads=found.threads,
        cpu=found.cpu.name,
        isa=found.cpu.isa,
        batch=1,
        runs=len(found.candidate),
        candidate_ms=candidate_ms,
        reference_ms=None,
        speedup=None,
        speedup_ci95=None,
        reliable=not doubt,
        doubt=doubt,
        throughput_ips=round(1000 / candidate_ms.p50, 2),
        peak_rss_bytes=found.peak_rss_bytes,
        candidate_histogram=histogram(found.candidate),
        passed=True,
        device=found.device,
    )
    keep("benchmark", result.to_json(), artifact, workspace)
    return result
