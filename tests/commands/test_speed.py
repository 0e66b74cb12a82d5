"""The gate of quantize on speed: INT8 that is slower than FP32 on the target does not pass unnoticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from support.models import RESOLUTION, Models

from convnext_edge import build, embed, export
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.kept_weights import open_source
from convnext_edge.cli import main
from convnext_edge.commands.quantize import speed
from convnext_edge.commands.quantize.speed import Speed
from convnext_edge.commands.quantize.verdict import is_decided
from convnext_edge.evaluation import load, timing
from convnext_edge.evaluation.load import Load
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.timing import times_as_fast
from convnext_edge.images.noise import noise
from convnext_edge.onnx_graph.files import save
from convnext_edge.onnx_graph.qdq import drop_quantization
from convnext_edge.targets.base import Availability
from convnext_edge.targets.onnxruntime import ONNXRuntimeSession
from convnext_edge.targets.registry import find_target

Column = list[float]


# operators that norms are made of, and some of which other parts have, too
OF_NORMS = {
    "ReduceMean",
    "ReduceL2",
    "Sub",
    "Mul",
    "Add",
    "Div",
    "Sqrt",
    "Reciprocal",
    "Squeeze",
    "Unsqueeze",
}
OF_NORMS |= {"Clip", "Max", "Pow", "Constant", "Identity"}


def measured(models: Models, target: str = "openvino") -> Speed | None:
    artifact = open_artifact(models.quantized())
    reference = open_source(artifact, Workspace(models.workspace)).reference
    return speed.measure_speed(artifact, reference, find_target(target))


def fake_times(monkeypatch: pytest.MonkeyPatch, reference: Column, fp32: Column, int8: Column) -> None:
    """Lets the three models take these times."""
    monkeypatch.setattr(speed, "interleave", lambda _calls, _runs: [reference, fp32, int8])
    monkeypatch.setattr(speed, "affordable", lambda _calls, _seconds: len(int8))


# The verdict


def test_the_figures_are_those_of_the_three_models(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_times(monkeypatch, reference=[30.0] * 9, fp32=[20.0] * 9, int8=[10.0] * 9)
    found = measured(models)
    assert found is not None
    assert found.figures() == {
        "speedup_over_fp32": 2,
        "speedup_over_fp32_ci95": (2, 2),
        "speedup": 3,
        "speedup_ci95": (3, 3),
        "reliable": True,
        "doubt": "",
        "advice": "ship INT8",
    }


def test_a_difference_within_the_noise_is_no_failure(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    fp32, int8 = (list(generator.uniform(8, 13, 15)) for _ in range(2))
    fake_times(monkeypatch, reference=fp32, fp32=fp32, int8=[1.01 * value for value in int8])
    found = measured(models)
    assert found is not None
    assert found.over_fp32.low < 1 < found.over_fp32.high
    assert not found.slower
    assert found.advice == "ship INT8 for its size only"


def test_the_models_run(models: Models) -> None:
    found = measured(models)
    assert found is not None
    assert 0 < found.over_fp32.low <= found.over_fp32.value <= found.over_fp32.high
    assert found.over_reference.value > 0


def test_a_busy_machine_is_timed_again_and_no_gate_passes_there(
    models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    fake_times(monkeypatch, reference=[15.0, 477.0, 480.0], fp32=[20.0] * 3, int8=[1.0] * 3)
    found = measured(models)
    assert found is not None
    assert found.doubt == "a median is 31.8 times the least time"
    assert not found.figures()["reliable"]
    assert found.advice == "time it on a quiet machine"
    assert caplog.text.count("timing is not to be relied on") == 1, "it is said once"
    assert not is_decided(found)
    assert "the gate on speed is not decided" in caplog.text


@pytest.mark.parametrize(("option", "code"), [("--timing", 3), ("--allow-slower", 0)])
def test_slower_int8_exits_with_3_unless_told_otherwise(
    models: Models, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, code: int
) -> None:
    fake_times(monkeypatch, reference=[30.0] * 9, fp32=[10.0] * 9, int8=[12.5] * 9)
    given = ["quantize", str(models.exported()), "--calib", str(photos), "--samples", "2", option]
    done = CliRunner().invoke(
        main, [*given, "-o", str(tmp_path / "int8.onnx"), "--workspace", str(models.workspace)]
    )
    assert done.exit_code == code
    assert (tmp_path / "int8.onnx").is_file(), "the file is there either way"
    assert "ship FP32" in done.stdout
    assert (f"convnext-edge build {models.exported()} --target openvino" in done.stderr) is (code == 3)
    judged = open_artifact(tmp_path / "int8.onnx").description.verdict
    assert judged is not None
    assert (judged.passed, judged.unmet) == (
        (False, ("speed (slower than FP32 on openvino)",)) if code else (True, ())
    )
    built = build(tmp_path / "int8.onnx", output=tmp_path / "int8.xml", workspace=models.workspace)
    packed = embed(built.engine, lang="cpp", output=tmp_path / "app", workspace=models.workspace)
    assert open_artifact(built.engine).description.verdict == judged
    for warnings in (built.warnings, packed.warnings):
        assert [text.split(".xml")[1].split(". ")[0] for text in warnings] == (
            [" did not pass when it was made: speed (slower than FP32 on openvino)"] if code else []
        )


# Where there is nothing to time


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("torch", "torch computes INT8 in float"),
        ("ort-mobile", "engines for ort-mobile run on other machines than this"),
        ("openvino", "openvino does not run here (plug it in)"),
    ],
)
def test_a_target_without_int8_here_is_not_timed(
    models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, target: str, why: str
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    absent = Availability(can_build=True, can_run=False, version="1.0", remedy="plug it in")
    monkeypatch.setattr(find_target("openvino"), "availability", lambda: absent)
    assert measured(models, target) is None
    assert f"not timed against FP32: {why}" in caplog.text


# What it is timed against


@pytest.mark.parametrize(("target", "input_type"), [("openvino", "float32"), ("onnxruntime", "uint8")])
def test_without_q_dq_the_graph_is_the_targets_own_fp32(
    models: Models, tmp_path: Path, target: str, input_type: str
) -> None:
    path = models.quantized(target, input_type=input_type)  # type: ignore[arg-type]
    model = onnx.load(path)
    drop_quantization(model)
    save(model, tmp_path / "fp32.onnx")
    weights = open_artifact(path).description.weights
    assert weights is not None
    own = export(
        checkpoint=models.workspace / weights.name,
        resolution=open_artifact(path).description.preprocessing.resolution,
        target=target,
        input_type=input_type,  # type: ignore[arg-type]
        workspace=tmp_path,
    )
    operators = [
        Counter(node.op_type for node in onnx.load(file).graph.node)
        for file in (tmp_path / "fp32.onnx", own.artifact)
    ]
    if target == "openvino":  # norms of INT8 have operators of their own, and a scale each
        reduced = [count["ReduceMean"] + count["ReduceL2"] for count in operators]
        assert reduced[0] == reduced[1]
        operators = [
            Counter({kind: count[kind] for kind in count if kind not in OF_NORMS}) for count in operators
        ]
    assert operators[0] == operators[1]
    assert operators[0].keys() >= {"Conv"}


@pytest.mark.parametrize("method", ["ptq", "ort"])
def test_without_q_dq_the_answers_are_those_of_fp32(models: Models, tmp_path: Path, method: str) -> None:
    path = models.quantized("onnxruntime", method)  # type: ignore[arg-type]
    model = onnx.load(path)
    drop_quantization(model)
    save(model, tmp_path / "fp32.onnx")
    images = noise((3, RESOLUTION, RESOLUTION), open_artifact(path).description.input_type, batch=8)
    with (
        ONNXRuntimeSession(tmp_path / "fp32.onnx", 1) as found,
        ONNXRuntimeSession(models.exported(), 1) as expected,
    ):
        compared = Comparison()
        compared.add(expected.run(images), found.run(images), np.full(8, -1))
    assert compared.sqnr_db is not None
    assert compared.sqnr_db > 30, "only the weights are rounded"


# The ratio


def test_a_ratio_is_that_of_the_medians() -> None:
    found = times_as_fast([9.0, 10.0, 50.0], [4.0, 5.0, 6.0])
    assert found.value == 2


def test_what_slows_both_models_widens_no_interval() -> None:
    fast = list(np.random.default_rng(0).uniform(5, 50, 40))
    found = times_as_fast([3 * value for value in fast], fast)
    assert (found.value, found.low, found.high) == (3, 3, 3)


def test_the_interval_covers_a_known_ratio() -> None:
    """Of 200 repetitions, some 95 % of the intervals hold the true ratio."""
    generator = np.random.default_rng(0)

    def holds() -> bool:
        slow, fast = (centre * generator.lognormal(0, 0.1, 30) for centre in (2.0, 1.0))
        found = times_as_fast(list(slow), list(fast))
        return found.low <= 2 <= found.high

    assert sum(holds() for _ in range(200)) >= 180


@pytest.mark.parametrize(
    ("seconds", "rounds"), [(0.0, timing.FEWEST), (1e9, timing.MOST)], ids=["none", "plenty"]
)
def test_there_are_rounds_enough_and_not_too_many(seconds: float, rounds: int) -> None:
    call: Callable[[], object] = lambda: sum(range(10_000))  # noqa: E731
    assert timing.affordable((call,), seconds) == rounds


# Whether it is to be relied on


@pytest.mark.parametrize(
    ("columns", "others", "threads", "why"),
    [
        ([[10.0, 11.0, 12.0], [5.0, 5.5, 6.0]], 0.5, 1, ""),
        ([[10.0, 11.0, 12.0], [5.0, 5.5, 6.0]], None, 2, ""),
        ([[10.0, 11.0, 12.0], [5.0, 11.0, 12.0]], 0.0, 1, "a median is 2.2 times the least time"),
        ([[10.0, 11.0, 12.0]], 1.9, 1, "other processes took 1.9 of 2 CPUs"),
        ([[10.0, 11.0, 12.0]], 0.5, 2, "other processes took 0.5 of 2 CPUs"),
    ],
)
def test_times_of_a_busy_machine_are_doubted(
    columns: list[Column], others: float | None, threads: int, why: str
) -> None:
    assert timing.doubt(columns, Load(2, others), threads=threads) == why


def test_what_others_take_is_what_the_cpus_worked_but_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    worked = iter([{"cpu0": 10.0, "cpu1": 20.0}, {"cpu0": 13.0, "cpu1": 23.0}])
    clock, own = iter([100.0, 104.0]), iter([7.0, 9.0])
    monkeypatch.setattr(load, "busy_seconds", lambda: next(worked))
    monkeypatch.setattr(load.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(load.time, "process_time", lambda: next(own))
    with load.watched_load() as found:
        pass
    assert (found.cpus, found.others) == (2, 1.0)  # 6 s of work, 2 of them ours, in 4 s


def test_only_the_work_of_our_cpus_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu 9 9 9 9 9 9 9 9\ncpu0 1 2 3 50 60 4 5 6 7 8\ncpu1 9 9 9 9 9 9 9 9\n")
    monkeypatch.setattr(load, "STAT", tmp_path / "stat")
    monkeypatch.setattr(load.os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(load.os, "sysconf", lambda _: 1, raising=False)
    assert load.busy_seconds() == {"cpu0": 1 + 2 + 3 + 4 + 5 + 6}
    monkeypatch.setattr(load, "STAT", tmp_path / "none")
    assert load.busy_seconds() == {}
