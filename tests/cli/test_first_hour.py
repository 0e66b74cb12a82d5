"""What someone meets in the first hour: wrong names, a model named without an option, and what comes next."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Run, said, words
from support.models import CHECKPOINT

import convnext_edge
from convnext_edge import quiet
from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Calibration
from convnext_edge.checkpoints.named import variant_or_file
from convnext_edge.cli import main
from convnext_edge.commands.benchmark import Benchmark, Milliseconds
from convnext_edge.commands.build import Build
from convnext_edge.commands.quantize.command import Quantize
from convnext_edge.commands.result import Result
from convnext_edge.commands.sensitivity import LayerRow, Sensitivity
from convnext_edge.commands.validate import Validate
from convnext_edge.errors import RecipeError, UsageError, nearest
from convnext_edge.quantization.recipe import Recipe, read_recipe

# Names that are near, and none

NEAR = {
    "a target": (("quantize", "--calib", "x", "--target", "opnvino"), "openvino"),
    "a method": (("quantize", "--calib", "x", "--method", "pqt"), "ptq"),
    "a task": (("export", "demo", "--task", "clasify"), "classify"),
    "a language": (("embed", "--lang", "androd"), "android"),
    "a norm": (("export", "demo", "--norm", "rmsnrm"), "rmsnorm"),
    "several targets": (("compare", "--calib", "x", "--data", "x", "--targets", "opnvino"), "openvino"),
    "several methods": (("compare", "--calib", "x", "--data", "x", "--methods", "ncf"), "nncf"),
    "a model": (("export", "tny"), "tiny, v2_tiny, tiny_hnf"),
    "a variant": (("export", "--variant", "tny"), "tiny, v2_tiny, tiny_hnf"),
}


@pytest.mark.parametrize("case", NEAR)
def test_of_a_wrong_name_the_nearest_are_told_within_80_columns(run: Run, case: str) -> None:
    arguments, wanted = NEAR[case]
    done = run(*arguments)
    assert done.exit_code == 2
    told = wanted.split(", ")
    assert f"Nearest {'are' if len(told) > 1 else 'is'} {wanted}. " in said(done)
    assert all(len(line) <= 80 for line in done.stderr.splitlines())


def test_of_a_wrong_key_of_a_recipe_and_a_wrong_value_the_nearest_are_told(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    for text, wanted in (("smothing = 0.5", "are smoothing"), ('range = "percentil"', "is percentile")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(RecipeError) as raised:
            read_recipe(path, Recipe())
        assert raised.value.hint.startswith(f"Nearest {wanted}")


def test_a_wrong_word_of_python_gets_the_nearest_too() -> None:
    with pytest.raises(UsageError, match=r"Nearest is ptq\. Take one of"):
        convnext_edge.quantize(calib="demo", method="pqt")  # type: ignore[arg-type]


def test_nothing_near_is_nothing_said() -> None:
    assert nearest("zzz", ["ptq", "nncf"]) == ""


# MODEL of `export`


def test_a_model_is_a_variant_or_else_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.pth").touch()
    assert variant_or_file("tiny", None, None) == ("tiny", None)
    assert variant_or_file("facebook/convnext-tiny-224", None, None) == ("facebook/convnext-tiny-224", None)
    assert variant_or_file("mine.pth", None, None) == (None, "mine.pth")
    for repository in ("hf:org/name", Path("hf:org/name")):
        assert variant_or_file(repository, None, None) == (None, "hf:org/name")
    # as --variant beside --checkpoint: a check
    assert variant_or_file("mine.pth", "tiny", None) == ("tiny", "mine.pth")
    assert variant_or_file("tiny", None, "mine.pth") == ("tiny", "mine.pth")


def test_a_path_is_told_from_a_name_by_its_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny").touch()
    assert variant_or_file("./tiny", None, None) == (None, "./tiny")
    (argument,) = (one for one in main.commands["export"].params if one.name == "model")
    assert argument.type.convert("./tiny", None, None) == "./tiny"


def test_a_model_that_is_both_or_neither_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny").touch()
    Path("mine.pth").touch()
    for given, message in {
        ("tiny", None, None): "tiny is the name of a variant, and of what lies here",
        ("mine.pt", None, None): "mine.pt is neither the name of a variant nor a file that exists",
        ("small", "tiny", None): "MODEL is small, and --variant is tiny",
        ("mine.pth", None, "other.pth"): "MODEL is mine.pth, and --checkpoint is other.pth",
    }.items():
        with pytest.raises(UsageError) as raised:
            variant_or_file(*given)
        assert raised.value.message == message
        assert raised.value.hint


@pytest.mark.slow
def test_export_takes_a_file_by_its_position(run: Run) -> None:
    done = run("export", CHECKPOINT, "--resolution", 32)
    assert done.exit_code == 0, done.stderr
    assert Path("convnext-edge-out/timm_v1.onnx").is_file()
    assert "next: convnext-edge quantize convnext-edge-out/timm_v1.onnx --calib IMAGES\n" in done.stdout


def test_the_help_of_export_says_what_its_model_may_be(run: Run) -> None:
    shown = words(run("export", "--help").stdout)
    assert "[MODEL]" in shown
    assert "Write MODEL, a variant's name or a file of weights, as ONNX." in shown


def test_a_shell_completes_models_targets_and_methods() -> None:
    def offered(command: str, name: str, begun: str) -> list[str]:
        parameter = next(each for each in main.commands[command].params if each.name == name)
        with main.commands[command].make_context(command, [], resilient_parsing=True) as context:
            return [item.value for item in parameter.shell_complete(context, begun)]

    assert "v2_atto" in offered("export", "model", "v2_a")
    assert offered("quantize", "target", "ten") == ["tensorrt", "tensorrt-rtx"]
    assert offered("quantize", "method", "p") == ["ptq"]
    assert offered("export", "task", "c") == ["classify"]


# -v


@pytest.mark.parametrize("arguments", [("-v", "variants"), ("variants", "-v"), ("--verbose", "variants")])
def test_verbose_is_taken_before_the_command_too(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 0
    assert quiet.is_verbose()


def test_a_command_is_quiet_where_it_was_not_asked_for(run: Run) -> None:
    assert run("variants").exit_code == 0
    assert not quiet.is_verbose()


# What comes next

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
