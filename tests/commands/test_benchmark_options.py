"""benchmark: requests in flight, durations, several batch sizes, layers, and what a target cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.command_line import commands_in
from support.models import Models

from convnext_edge import benchmark
from convnext_edge.artifacts.sidecar import read_sidecar
from convnext_edge.commands.benchmark.asked import read_options
from convnext_edge.commands.benchmark.command import batch_sizes
from convnext_edge.commands.benchmark.result import Benchmark, histogram, layers_table, sizes_table
from convnext_edge.cpu import usable_cpus
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.memory import peak_rss
from convnext_edge.targets.openvino import OpenVINOSession

NOTHING: dict[str, Any] = dict.fromkeys(("threads", "runs", "duration", "hint", "streams"))


def timed(models: Models, **options: object) -> Benchmark:
    given = {"target": "onnxruntime", "threads": 1, "runs": 2, "workspace": models.workspace, **options}
    return benchmark(models.quantized(), **given)  # type: ignore[arg-type]


def test_times_are_counted_in_bins_that_do_not_depend_on_them() -> None:
    found = histogram([1.0, 1.05, 1.95, 2.5])
    assert (len(found.edges_ms), len(found.counts)) == (12, 11)
    assert (found.edges_ms[0], found.edges_ms[8]) == (1.0, 2.0)
    assert found.edges_ms[1] == pytest.approx(2 ** (1 / 8), rel=1e-5)
    # log2 of 1.95 and 2.5 in eighths: 7.7 and 10.6
    assert {place: count for place, count in enumerate(found.counts) if count} == {0: 2, 7: 1, 10: 1}


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("target", ["torch", "onnxruntime", "openvino"])
def test_throughput_is_measured_with_requests_in_flight(models: Models, target: str) -> None:
    count = min(usable_cpus(), 2)
    found = timed(models, target=target, threads=count, streams=count, duration=0.2)
    flight = found.throughput
    assert flight is not None
    assert (found.hint, flight.streams, flight.threads, flight.seconds) == ("throughput", count, 1, 0.2)
    for least, value, most in (
        (flight.candidate_ips_ci95[0], flight.candidate_ips, flight.candidate_ips_ci95[1]),
        (flight.reference_ips_ci95[0], flight.reference_ips, flight.reference_ips_ci95[1]),
        (flight.speedup_ci95[0], flight.speedup, flight.speedup_ci95[1]),
    ):
        assert 0 < least <= value + 0.01 <= most + 0.02  # each is rounded by itself
    assert flight.speedup == pytest.approx(flight.candidate_ips / flight.reference_ips, rel=0.01)
    assert sum(flight.candidate_histogram.counts) == flight.requests
    assert found.throughput_ips == flight.candidate_ips
    assert found.gated_speedup == flight.speedup
    assert f"{count} requests, 1 thread each" in found.summary()


def test_single_calls_are_as_without_requests_in_flight(models: Models) -> None:
    found = timed(models, hint="throughput", duration=0.1)
    assert found.speedup == pytest.approx(found.reference_ms.p50 / found.candidate_ms.p50, abs=1e-3)
    assert found.runs == 2
    assert found.candidate_histogram is not None
    assert sum(found.candidate_histogram.counts) == 2


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_memory_is_that_of_the_runtime_with_requests_in_flight(models: Models, target: str) -> None:
    """Without PyTorch, which alone takes over 100 MiB."""
    artifact = read_sidecar(models.quantized())
    one = peak_rss(artifact, target, batch=1, threads=2)
    two = peak_rss(artifact, target, batch=1, threads=2, streams=2)
    assert one is not None
    assert two is not None
    assert 0.9 * one < two < one + 60 * 2**20


def test_each_batch_size_is_measured(models: Models) -> None:
    found = timed(models, batch=(1, 3), runs=None, duration=0.05)
    assert [row.batch for row in found.sweep] == [1, 3]
    assert found.batch == 1
    first = found.sweep[0]
    assert (found.candidate_ms, found.throughput_ips) == (first.candidate_ms, first.throughput_ips)
    for row in found.sweep:
        assert row.throughput_ips == pytest.approx(1000 * row.batch / row.candidate_ms.p50, rel=1e-2)
    rows = json.loads(json.dumps(found.to_json()))["sweep"]
    assert {"candidate_ms", "peak_rss_bytes", "speedup_ci95", "candidate_histogram"} <= rows[1].keys()
    assert sizes_table(found.sweep) in found.summary()


def test_a_gate_on_speed_holds_for_all_batch_sizes(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    from convnext_edge.evaluation import timing

    monkeypatch.setattr(timing, "doubt", lambda *_, **__: "")
    speedups = iter([9.0, 2.0])
    monkeypatch.setattr(
        timing, "times_as_fast", lambda *_: timing.Ratio(value := next(speedups), value, value)
    )
    found = timed(models, batch=(1, 2), min_speedup=5)
    assert (found.speedup, found.passed) == (9.0, False)


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_layers_are_told_with_their_share(models: Models, target: str) -> None:
    model = models.quantized(target)
    found = benchmark(model, threads=1, runs=3, layers=True, workspace=models.workspace)
    names = {row.name for row in found.layers}
    assert set(read_sidecar(model).description.quantized_layers) <= names
    assert sum(row.share for row in found.layers) == pytest.approx(1, abs=1e-3)
    assert layers_table(found.layers) in found.summary()


def test_kernels_of_layers_are_those_of_the_runtime_model(models: Models) -> None:
    """The list of kernels is another interface of OpenVINO's."""
    model = models.quantized("openvino")
    found = benchmark(model, threads=1, runs=2, layers=True, workspace=models.workspace)
    with OpenVINOSession(model, 1) as session:
        known = {primitive for _, primitive in session.kernels()}
    told = {row.kernel for row in found.layers}
    assert any(str(kernel).endswith("I8") for kernel in told)
    assert told <= known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hint": "latency", "streams": 1}, "--hint latency has one request in flight, and --streams 1 asks"),
        ({"runs": 5, "duration": 1.5}, r"--runs 5 and --duration 1\.5 both say how long to time"),
        ({"streams": 10**6}, "--streams 1000000 are more than the"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_options(**{**NOTHING, "layers": False, **options})


def test_a_duration_is_that_of_requests_in_flight_where_there_are_any() -> None:
    asked = read_options(**{**NOTHING, "layers": False, "threads": 1, "hint": "throughput", "runs": 5})
    assert (asked.runs, asked.seconds, asked.in_flight_seconds) == (5, None, 10)
    asked = read_options(**{**NOTHING, "layers": False, "duration": 3.0})
    assert (asked.seconds, asked.in_flight_seconds, asked.hint) == (3, None, "latency")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"streams": 1}, "--streams means nothing to target tensorrt-rtx"),
        ({"hint": "throughput"}, "--hint throughput means nothing to target tensorrt-rtx"),
        ({"layers": True}, "--layers: target tensorrt-rtx does not tell the time of single layers"),
    ],
)
def test_what_a_target_cannot_do_is_refused_by_name(
    models: Models, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        timed(models, target="tensorrt-rtx", **options)
    assert "openvino" in refused.value.hint


def test_no_batch_size_is_refused() -> None:
    assert batch_sizes((4, 1, 4)) == (4, 1)
    with pytest.raises(UsageError, match="--batch has no number"):
        batch_sizes(())


def test_batch_sizes_are_given_with_commas_or_one_by_one(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convnext_edge.commands.benchmark import command

    seen: list[object] = []
    monkeypatch.setattr(command, "batch_sizes", lambda batch: seen.append(batch) or (1,))
    model = str(models.quantized())
    with commands_in(tmp_path, monkeypatch) as run:
        for options in (["--batch", "1,2", "--batch", "8"], ["--batch", "4"], []):
            run("benchmark", model, *options, "--streams", "9999")
        assert seen == [(1, 2, 8), 4, 1]
        for wrong, message in (("1,x", "is no list of whole numbers"), ("2,0", "0 is less than 1")):
            found = run("benchmark", model, "--batch", wrong)
            assert (found.exit_code, message in found.stderr) == (2, True)


def test_python_gets_the_same_bounds(models: Models) -> None:
    with pytest.raises(UsageError, match="--batch 0 is less than 1"):
        timed(models, batch=(1, 0))
    with pytest.raises(TypeError, match="batch must be an integer or a tuple of integers"):
        timed(models, batch="1,2")
