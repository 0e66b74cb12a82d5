"""What a result tells to do next: the next command with its files, and what helps where a gate is not met."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Run

import convnext_edge
from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Calibration
from convnext_edge.commands.benchmark.result import Benchmark, Milliseconds
from convnext_edge.commands.build import Build
from convnext_edge.commands.predict.result import Failed, Predict, Prediction
from convnext_edge.commands.quantize.command import Quantize
from convnext_edge.commands.result import Result
from convnext_edge.commands.sensitivity import LayerRow, Sensitivity
from convnext_edge.commands.validate.result import Validate

MEASURED = Milliseconds(1.0, 1.0, 1.0, 1.0)


def quantized(passed: bool) -> Quantize:
    return Quantize(
        artifact=Path("out/my model.onnx"),
        target="openvino",
        method="ptq",
        calibration=Calibration("demo", 8, "0"),
        quantized_layers=("head",),
        float_layers=(),
        seconds=1.25,
        bytes=2**20,
        fp32_bytes=2**22,
        passed=passed,
    )


def benchmarked(artifact: str) -> Benchmark:
    return Benchmark(
        artifact=Path(artifact),
        target="openvino",
        runtime_version="1",
        batch=1,
        threads=1,
        runs=1,
        cpu="a CPU",
        isa=(),
        candidate_ms=MEASURED,
        reference_ms=MEASURED,
        speedup=1.0,
        speedup_ci95=(1.0, 1.0),
        reliable=True,
        throughput_ips=1.0,
        peak_rss_bytes=None,
        passed=True,
    )


def predicted(artifact: str) -> Predict:
    return Predict(
        artifact=Path(artifact),
        target="openvino",
        task="detect",
        pictures=1,
        predictions=(Prediction("street.jpg"),),
        failed=(),
        seconds=1.0,
    )


def validated() -> Validate:
    """A classifier that lost too much, of a set without any warning."""
    return Validate(
        artifact=Path("out/e.xml"),
        target="openvino",
        data="demo",
        images=8,
        reference_top1=1.0,
        candidate_top1=0.5,
        reference_top5=1.0,
        candidate_top5=1.0,
        drop_points=50.0,
        drop_ci95_points=(40.0, 60.0),
        agreement=0.5,
        agreement_ci95=(0.4, 0.6),
        sqnr_db=3.0,
        overlap=0,
        skipped_images=(),
        simulated=False,
        passed=False,
        gates=("drop",),
    )


BUILT = Build(
    engine=Path("out/e.xml"),
    target="openvino",
    bytes=2**20,
    runtime="openvino",
    runtime_version="1",
    seconds=0.5,
    fp32_bytes=2**22,
)
SENSITIVE = Sensitivity(
    target="openvino",
    calibration="demo",
    images=8,
    layers=(LayerRow("stages.0", 20.0, 0.5, None), LayerRow("head", 40.0, 0.1, None)),
    seconds=1.0,
    model=Path("out/e.onnx"),
)


@pytest.mark.parametrize(
    ("result", "following"),
    [
        (quantized(passed=True), "convnext-edge build 'out/my model.onnx'"),
        (quantized(passed=False), ""),
        (BUILT, "convnext-edge validate out/e.xml --data IMAGES"),
        (benchmarked("out/e.xml"), "convnext-edge embed out/e.xml --lang cpp"),
        (benchmarked("out/e.onnx"), ""),  # no engine
        (predicted("out/e.xml"), "convnext-edge embed out/e.xml --lang cpp"),
        (predicted("out/e.onnx"), ""),
        (replace(predicted("out/e.xml"), failed=(Failed("a.png", "damaged"),)), ""),
        (SENSITIVE, "convnext-edge quantize out/e.onnx --calib IMAGES --keep-float stages.0"),
    ],
)
def test_a_result_tells_the_next_command_with_its_files(result: Result, following: str) -> None:
    assert result.next_command() == following
    assert "next" not in result.to_json()


def test_the_next_command_has_the_workspace_that_was_given(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convnext_edge, "build", lambda **_given: BUILT)
    assert run("build", "--workspace", "my place").stdout.endswith(
        "next: convnext-edge validate out/e.xml --data IMAGES --workspace 'my place'\n"
    )
    assert run("build").stdout.endswith("next: convnext-edge validate out/e.xml --data IMAGES\n")
    long = run("build", "--workspace", "p" * 40).stdout.split("next: ")[1]
    typed = shlex.split(long.replace("\\\n", ""))  # as a shell takes it
    assert typed == [*shlex.split("convnext-edge validate out/e.xml --data IMAGES --workspace"), "p" * 40]
    assert all(len(line) <= 80 for line in long.splitlines())


def test_the_size_of_fp32_stands_beside_that_of_int8() -> None:
    assert "size    1.0 MiB (FP32: 4.0 MiB), made in 1.2 s" in quantized(passed=True).summary()
    assert "1.0 MiB (FP32: 4.0 MiB), made in 0.5 s" in BUILT.summary()
    # one stage of one block, by hand: stem 3*2*16+2, its norm 4, depthwise 2*49+2, norm 4, 2*8+8, 8*2+2,
    # scale 2, norm of the head 4, head 2*3+3
    architecture = Architecture((1,), (2,), classes=3)
    assert architecture.fp32_bytes == 4 * (98 + 4 + 100 + 4 + 24 + 18 + 2 + 4 + 9)


def test_the_worst_layer_is_nearest_to_the_prompt() -> None:
    lines = SENSITIVE.summary().splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["head", "stages.0"]
    assert [row["name"] for row in SENSITIVE.to_json()["layers"]] == ["stages.0", "head"]


# What to do where a gate is not met


def unmet(gate: str, **more: Any) -> Quantize:
    return replace(quantized(passed=False), gates=(gate,), unmet=(f"{gate} (too far)",), **more)


@pytest.mark.parametrize(
    ("result", "helps", "following"),
    [
        (unmet("calibration"), "--samples", "sensitivity MODEL --calib IMAGES --target openvino"),
        (unmet("drop"), "`finetune` trains", "finetune MODEL --train IMAGES --target openvino"),
        (unmet("speed"), "--allow-slower", "build MODEL --target openvino"),
        (
            replace(benchmarked("out/e.xml"), passed=False),
            "`compare` shows",
            "compare --calib IMAGES --data IMAGES --threads 1",
        ),
        (
            replace(validated(), precision="int8"),
            "`quantize` with the same gate",
            "quantize MODEL --calib IMAGES --target openvino --max-drop POINTS",
        ),
    ],
)
def test_a_gate_that_is_not_met_tells_what_helps(result: Result, helps: str, following: str) -> None:
    todo = " ".join(result.summary().split()).split(" to do ")[1]
    assert helps in todo
    assert result.next_command() == f"convnext-edge {following}"
    assert all(len(line) <= 80 for line in result.summary().splitlines())


@pytest.mark.parametrize(
    "result",
    [
        unmet("drop", warnings=("the classes are in another order",)),
        replace(benchmarked("out/e.xml"), passed=False, reliable=False, doubt="the machine was busy"),
        validated(),  # FP32, which no way of quantizing mends
        replace(validated(), precision="int8", warnings=("the classes are in another order",)),
    ],
)
def test_no_command_is_told_that_does_not_help(result: Result) -> None:
    assert result.next_command() == ""


def test_a_gate_that_a_busy_machine_leaves_open_is_not_passed() -> None:
    found = replace(quantized(passed=True), gates=("calibration",), undecided=("speed",))
    assert found.summary().splitlines()[-1] == "gates   passed (calibration); NOT decided: speed"
