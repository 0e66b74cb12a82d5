"""What someone meets in the first hour: wrong names, and a model named without an option."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import Run, said, words
from support.models import CHECKPOINT

import convnext_edge
from convnext_edge import quiet
from convnext_edge.checkpoints.named import variant_or_file
from convnext_edge.cli import main
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
        ("mine.pt", None, None): "mine.pt is neither the name of a variant nor a file or folder that exists",
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
