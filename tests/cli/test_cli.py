"""The command line as a user meets it: its help, its exit codes, and what an error says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.command_line import Run, words
from support.models import CHECKPOINT, Models

from convnext_edge.cli import main
from convnext_edge.version import __version__

HEAVY = ("torch", "torchao", "onnx", "onnxruntime", "onnxscript", "openvino", "nncf", "PIL")
COMMANDS = sorted(main.commands)


# Help


def test_the_commands_of_the_contract_are_there() -> None:
    assert {
        "variants",
        "export",
        "quantize",
        "build",
        "validate",
        "benchmark",
        "predict",
        "doctor",
        "demo",
    } <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_its_help_with_an_example_that_parses(run: Run, name: str) -> None:
    shown = run(name, "--help")
    assert shown.exit_code == 0
    found = re.search(r"Example: +(.+)$", shown.stdout, re.MULTILINE)
    assert found, shown.stdout
    program, called, *arguments = shlex.split(found[1])
    assert (program, called) == ("convnext-edge", name)
    command = main.commands[name]
    with command.make_context(name, arguments) as context:  # raises where it does not parse
        assert context.params.keys() >= {"as_json", "verbose"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name: str) -> None:
    options = [p for p in main.commands[name].params if isinstance(p, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_the_purpose_in_one_line_and_fits_the_terminal(run: Run, name: str) -> None:
    purpose = (main.commands[name].help or "").strip().splitlines()[0]
    assert purpose.endswith(".")
    assert purpose in run(name, "-h").stdout
    assert max(map(len, run(name, "--help").stdout.splitlines())) <= 80


def test_the_list_of_commands_says_each_purpose_in_full(run: Run) -> None:
    shown = run("--help").stdout.split("Commands:")[1]
    assert "..." not in shown
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").stdout == f"convnext-edge, version {__version__}\n"


def test_help_imports_no_heavy_package() -> None:
    code = f"""
import sys
from click.testing import CliRunner
from convnext_edge.cli import main
for arguments in ([], ["--help"], ["--version"], *([name, "--help"] for name in main.commands)):
    CliRunner().invoke(main, arguments)
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Exit codes


def test_a_gate_that_is_not_met_is_exit_code_3_with_the_whole_result(
    run: Run, models: Models, photos: Path
) -> None:
    given = ("validate", models.quantized(), "--data", photos, "--workspace", models.workspace, "--limit", 4)
    assert run(*given, "--min-agreement", 0.01).exit_code == 0
    done = run(*given, "--max-drop", -101, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["passed"] is False
    assert "NOT met" in run(*given, "--max-drop", -101).stdout


def test_a_speedup_that_is_not_met_is_exit_code_3(run: Run, models: Models) -> None:
    given = ("benchmark", models.quantized(), "--runs", 1, "--threads", 1, "--workspace", models.workspace)
    assert run(*given, "--min-speedup", 1e9).exit_code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("exprt",),
        ("export", "--resolution", "big"),
        ("export", "--resolution", "-32"),
        ("export",),
        ("export", "--variant", "tyni"),
        ("export", "--checkpoint", CHECKPOINT, "--random-weights"),
        ("export", "--variant", "demo", "-o", "model"),
        ("quantize",),
        ("quantize", "--calib", "x", "--samples", "0"),
        ("quantize", "--calib", "x", "--method", "magic"),
        ("quantize", "--calib", "x", "-o", "model.xml"),
        ("quantize", "a.onnx", "--checkpoint", "b.pth", "--calib", "x"),
        ("build", "--target", "tensorflow"),
        ("embed",),
        ("embed", "--lang", "cobol"),
        ("embed", "--lang", "cpp", "--runtime", "node_modules"),
        ("export", "--variant", "demo", "--mean", "123.7", "116.3", "103.5"),
        ("export", "--variant", "demo", "--std", "0", "1", "1"),
        ("export", "--variant", "demo", "--std", "1", "-1", "1"),
        ("export", "--variant", "demo", "--crop", "nan"),
        ("export", "--variant", "demo", "--seed", str(2**64), "--random-weights"),
        ("validate", "--data", "x", "--min-agreement", "2"),
        ("validate", "--data", "x", "--min-agreement", "nan"),
        ("validate", "--data", "x", "--max-drop", "nan"),
        ("quantize", "--calib", "x", "--max-drop", "nan"),
        ("benchmark", "--min-speedup", "inf"),
        ("finetune", "--train", "x", "--learning-rate", "nan"),
        ("finetune", "--train", "x", "--seed", "-1"),
        ("quantize", "--calib", "x", "--data", "y"),
        ("finetune", "--train", "x", "--steps", "1", "--epochs", "1"),
        ("finetune", "--train", "x", "--activation", "silu"),
        ("predict",),
        ("predict", "photo.jpg", "--top", "0"),
        ("predict", "photo.jpg", "--threshold", "2"),
        ("benchmark", "--batch", "0"),
        ("benchmark", "--threads", "100000"),
    ],
    ids=lambda arguments: " ".join(str(a) for a in arguments[:3]),
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: tuple[object, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Error: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("quantize", "--calib", "photos"), "convnext-edge export FILE (or --variant NAME)"),
        (("build",), "convnext-edge export FILE (or --variant NAME)"),
        (
            ("build", "--target", "openvino"),
            "convnext-edge export FILE (or --variant NAME),"
            " then convnext-edge quantize --calib NAME --target openvino",
        ),
        (
            ("embed", "--lang", "web"),
            "convnext-edge export FILE (or --variant NAME),"
            " then convnext-edge quantize --calib NAME --target onnxruntime, then convnext-edge build",
        ),
        (("validate", "--data", "photos"), "convnext-edge export FILE (or --variant NAME)"),
        (("benchmark",), "convnext-edge export FILE (or --variant NAME)"),
        (("predict", "photo.jpg"), "convnext-edge export FILE (or --variant NAME)"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_empty_workspace_says_which_command_fills_it(
    run: Run, arguments: tuple[str, ...], remedy: str
) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    said = words(done.stderr)
    assert "Error: there is no" in said
    assert "in the workspace convnext-edge-out" in said
    assert f"Make one: {remedy}" in said
    assert not list(Path.cwd().iterdir())


def test_an_error_has_a_traceback_only_where_it_is_asked_for(run: Run) -> None:
    quiet_one, verbose_one = run("build", "none.onnx"), run("build", "none.onnx", "-v")
    assert quiet_one.exit_code == verbose_one.exit_code == 1
    assert words(quiet_one.stderr).startswith("Error: none.onnx does not exist")
    assert "Traceback" not in quiet_one.stderr
    assert "Traceback" in verbose_one.stderr


def test_long_errors_are_folded(run: Run) -> None:
    lines = run("quantize", "nowhere.onnx", "--calib", "no such set " * 40).stderr.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
