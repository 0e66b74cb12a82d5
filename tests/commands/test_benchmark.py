"""benchmark: what it measures and reports. No test asks how fast anything is."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict

import numpy as np
import pytest
from support.models import Models

from convnext_edge import benchmark
from convnext_edge.commands.benchmark.result import Benchmark, Milliseconds, percentiles
from convnext_edge.cpu import read_cpu, usable_cpus
from convnext_edge.errors import UsageError
from convnext_edge.evaluation import rival, timing
from convnext_edge.targets.base import Images, Logits, Session


def timed(models: Models, **options: object) -> Benchmark:
    given = {"target": "onnxruntime", "threads": 1, "runs": 3, "workspace": models.workspace, **options}
    return benchmark(models.quantized(), **given)  # type: ignore[arg-type]


def in_order(times: Milliseconds) -> bool:
    return 0 < times.min <= times.p50 <= times.p90 <= times.p99


def test_the_figures_follow_from_each_other(models: Models) -> None:
    found = timed(models)
    assert in_order(found.candidate_ms)
    assert in_order(found.reference_ms)
    assert found.speedup == pytest.approx(found.reference_ms.p50 / found.candidate_ms.p50, abs=1e-3)
    assert found.speedup_ci95[0] <= found.speedup <= found.speedup_ci95[1]
    assert found.throughput_ips == pytest.approx(1000 / found.candidate_ms.p50, rel=1e-3)


def test_what_was_timed_is_said(models: Models) -> None:
    found = timed(models)
    assert (found.artifact, found.target) == (models.quantized(), "onnxruntime")
    assert (found.batch, found.threads, found.runs) == (1, 1, 3)
    assert (found.cpu, found.isa) == (read_cpu().name, read_cpu().isa)
    assert json.loads(json.dumps(found.to_json())).keys() == asdict(found).keys()


def test_the_memory_is_that_of_a_process_with_a_runtime(models: Models) -> None:
    peak = timed(models).peak_rss_bytes
    assert peak is not None
    assert 2**24 < peak < 2**31


def test_throughput_counts_the_images_of_a_batch(models: Models) -> None:
    found = timed(models, batch=3)
    assert found.batch == 3
    assert found.throughput_ips == pytest.approx(3000 / found.candidate_ms.p50, rel=1e-3)


def test_threads_are_all_cpus_where_none_are_given(models: Models) -> None:
    assert timed(models, threads=None).threads == usable_cpus()


@pytest.mark.parametrize(("floor", "passed"), [(None, True), (1e-6, True), (1e9, False)])
def test_a_speedup_below_the_gate_does_not_pass(
    models: Models, monkeypatch: pytest.MonkeyPatch, floor: float | None, passed: bool
) -> None:
    monkeypatch.setattr(timing, "doubt", lambda *_, **__: "")
    assert timed(models, min_speedup=floor).passed is passed


def test_no_gate_passes_on_a_busy_machine(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "doubt", lambda *_, **__: "others worked")
    found = timed(models, min_speedup=1e-6)
    assert (found.passed, found.reliable) == (False, False)
    assert "NOT to be relied on: others worked" in found.summary()
    assert timed(models).passed, "without a gate"


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("target", ["torch", "onnxruntime", "openvino"])
def test_engines_of_every_target_are_timed(models: Models, target: str) -> None:
    engine = models.engine(target, models.quantized())
    found = benchmark(engine, threads=1, runs=2, workspace=models.workspace)
    assert found.target == target
    assert found.passed


def test_a_uint8_model_is_timed_on_bytes(models: Models) -> None:
    found = benchmark(
        models.exported("uint8"), target="onnxruntime", threads=1, runs=2, workspace=models.workspace
    )
    assert in_order(found.candidate_ms)


def test_the_two_models_take_turns() -> None:
    turns: list[str] = []
    times = timing.interleave((lambda: turns.append("reference"), lambda: turns.append("candidate")), 4)
    assert [len(column) for column in times] == [4, 4]
    assert turns == ["reference", "candidate"] * (timing.WARM_UP + 4)


def test_percentiles_of_known_times() -> None:
    found = percentiles([float(value) for value in range(101, 0, -1)])
    assert found == Milliseconds(p50=51, p90=91, p99=100, min=1)


# INT8 against FP16, where a target has both


class Rival(Session):
    """An FP16 engine that takes `seconds` a call."""

    runner = "a stand-in"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def _run(self, images: Images) -> Logits:
        if self.seconds:  # on a busy machine, even a sleep of 0 takes milliseconds
            time.sleep(self.seconds)
        return np.zeros((len(images), 10), np.float32)


@pytest.mark.parametrize(("seconds", "advice"), [(0.0, "ship FP16"), (0.3, "ship INT8")])
def test_int8_is_advised_where_it_is_faster_than_fp16(
    models: Models, monkeypatch: pytest.MonkeyPatch, seconds: float, advice: str
) -> None:
    monkeypatch.setattr(rival, "open_rival", lambda *_: contextlib.nullcontext(Rival(seconds)))
    found = timed(models)
    assert found.advice == advice
    assert found.fp16_ms is not None
    assert found.to_json()["advice"] == advice
    ratio = found.fp16_ms.p50 / found.candidate_ms.p50
    assert f"{advice}: INT8 is {ratio:.2f}x FP16" in found.summary()


def test_a_target_without_fp16_gives_no_advice(models: Models) -> None:
    found = timed(models)
    assert (found.fp16_ms, found.advice) == (None, None)
    assert "FP16" not in found.summary()


@pytest.mark.parametrize("option", ["batch", "threads", "runs"])
def test_a_number_below_one_is_wrong_usage(models: Models, option: str) -> None:
    with pytest.raises(UsageError, match=f"--{option} 0 is less than 1"):
        timed(models, **{option: 0})
