"""The command line as a user meets it: help, JSON, exit codes, notes, and nothing else on the terminal."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from conftest import CHECKPOINT, RESOLUTION, Models

import convnext_edge
from convnext_edge import quiet, validate
from convnext_edge.cli import main
from convnext_edge.progress import LOGGER
from convnext_edge.version import __version__

HEAVY = ("torch", "torchao", "onnx", "onnxruntime", "onnxscript", "openvino", "nncf", "PIL")
COMMANDS = sorted(main.commands)
EXPORT = ("export", "--checkpoint", CHECKPOINT, "--resolution", RESOLUTION)

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command in an empty folder. An exception that the command does not translate comes through."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quiet, "_verbose", False)
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    levels = {
        name: logging.getLogger(name).level for name in ("root", "torch", "torchao", "nncf", "openvino")
    }
    yield lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    LOGGER.handlers[:], LOGGER.level, LOGGER.propagate = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def words(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


# Help


def test_the_commands_of_the_contract_are_there() -> None:
    assert {"variants", "export", "quantize", "build", "validate", "benchmark", "doctor", "demo"} <= set(
        COMMANDS
    )


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


# JSON


@dataclass(frozen=True)
class Case:
    """A command and the keys that its JSON object has at least."""

    arguments: tuple[object, ...]
    keys: str


CASES = {
    "variants": Case(("variants",), "variants"),
    "doctor": Case(("doctor",), "cpu gpus targets"),
    "export": Case(
        EXPORT, "artifact variant params macs resolution classes parity_max_abs_diff"
    ),
    "quantize": Case(
        ("quantize", "{exported}", "--calib", "{photos}", "--samples", 2, "--allow-slower",
         "-o", "int8.onnx"),
        "artifact target method calibration quantized_layers float_layers seconds bytes speedup_over_fp32"
        " passed",
    ),
    "finetune": Case(
        ("finetune", "{exported}", "--train", "{photos}", "--steps", 2, "--batch", 4, "--samples", 2,
         "-o", "qat.onnx"),
        "artifact target method calibration quantized_layers float_layers seconds bytes epochs start_top1"
        " final_top1 reference_top1",
    ),
    "sensitivity": Case(
        ("sensitivity", "{exported}", "--calib", "{photos}", "--samples", 2, "--runs", 1), "layers"
    ),
    "build": Case(
        ("build", "{int8}", "-o", "engine.xml"), "engine target bytes runtime runtime_version seconds"
    ),
    "embed": Case(("embed", "{engine}", "--lang", "cpp", "-o", "app"), "directory files build_command"),
    "compare": Case(
        ("compare", "{exported}", "--calib", "{photos}", "--data", "{photos}", "--limit", 4,
         "--methods", "fp32,fp32", "--targets", "onnxruntime", "--threads", 1, "--runs", 2),
        "rows",
    ),
    "report": Case(("report", "-o", "report.html"), "html rows"),
    "validate": Case(
        ("validate", "{int8}", "--data", "{photos}", "--limit", 4),
        "images reference_top1 candidate_top1 reference_top5 candidate_top5 drop_points drop_ci95_points"
        " agreement sqnr_db passed",
    ),
    "benchmark": Case(
        ("benchmark", "{int8}", "--threads", 1, "--runs", 2),
        "batch threads cpu candidate_ms reference_ms speedup throughput_ips peak_rss_bytes passed",
    ),
}  # fmt: skip


@pytest.fixture
def fill(models: Models, photos: Path) -> Callable[[tuple[object, ...]], list[str]]:
    """Puts the paths of the session's models into arguments; artifacts are found in their workspace."""

    def filled(arguments: tuple[object, ...]) -> list[str]:
        texts = [str(argument) for argument in arguments]
        named = texts[0] == "report" or any("{" in text for text in texts)
        made = {"exported": models.exported(), "int8": models.quantized()} if named else {}
        if "{engine}" in texts:
            made["engine"] = models.engine("openvino", models.quantized())
        if texts[0] == "report":
            validate(made["int8"], data=str(photos), limit=2, workspace=models.workspace)
        paths = {**made, "photos": photos}
        return [text.format(**paths) for text in texts] + (
            ["--workspace", str(models.workspace)] if named else []
        )

    return filled


@pytest.mark.parametrize("name", CASES)
def test_json_is_one_object_with_the_promised_keys(
    run: Run, fill: Callable[[tuple[object, ...]], list[str]], name: str
) -> None:
    done = run(*fill(CASES[name].arguments), "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(CASES[name].keys.split()) <= found.keys()


@pytest.mark.parametrize("verbose", [False, True])
def test_what_libraries_print_stays_out_of_the_json(
    run: Run, verbose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = convnext_edge.variants()

    def variants() -> Any:
        print("chatty")  # noqa: T201
        return found

    monkeypatch.setattr(convnext_edge, "variants", variants)
    done = run("variants", "--json", *(["-v"] if verbose else []))
    assert json.loads(done.stdout) == found.to_json()
    assert "chatty" in done.stderr


def json_of(done: Result) -> Any:
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_a_variant_has_the_promised_keys(run: Run) -> None:
    rows = json_of(run("variants", "--json"))["variants"]
    promised = "name generation depths dims params macs resolution classes published_top1 license source"
    assert all(set(promised.split()) <= row.keys() for row in rows)
    assert {row["generation"] for row in rows} == {"v1", "v2"}


def test_doctor_tells_of_every_target(run: Run) -> None:
    found = json_of(run("doctor", "--json"))
    assert {"name", "isa", "int8_saturates"} <= found["cpu"].keys()
    rows = {row["name"]: row for row in found["targets"]}
    assert {"torch", "onnxruntime", "openvino"} <= rows.keys()
    for row in rows.values():
        assert {"name", "can_build", "can_run", "version", "remedy"} <= row.keys()
        assert row["remedy"] or (row["can_build"] and row["can_run"])


# Exit codes


def test_a_gate_that_is_not_met_is_exit_code_3_with_the_whole_result(
    run: Run, models: Models, photos: Path
) -> None:
    given = ("validate", models.quantized(), "--data", photos, "--workspace", models.workspace, "--limit", 4)
    assert run(*given, "--max-drop", 100, "--min-agreement", 0).exit_code == 0
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
        ("validate", "--data", "x", "--min-agreement", "2"),
        ("quantize", "--calib", "x", "--data", "y"),
        ("finetune", "--train", "x", "--steps", "1", "--epochs", "1"),
        ("finetune", "--train", "x", "--activation", "silu"),
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
        (("quantize", "--calib", "photos"), "convnext-edge export --variant NAME"),
        (("build",), "convnext-edge export --variant NAME"),
        (
            ("build", "--target", "openvino"),
            "convnext-edge export --variant NAME, then convnext-edge quantize --calib NAME --target openvino",
        ),
        (("embed", "--lang", "cpp"), "convnext-edge build"),
        (("validate", "--data", "photos"), "convnext-edge export --variant NAME"),
        (("benchmark",), "convnext-edge export --variant NAME"),
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


# Notes and widths


def test_the_workspace_of_the_environment_is_used_and_the_choice_is_told(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVNEXT_EDGE_WORKSPACE", "mine")
    assert run(*EXPORT).exit_code == 0
    assert {path.name for path in Path("mine").iterdir()} == {
        *("timm_v1.safetensors", "timm_v1.safetensors.json"),
        *("timm_v1.onnx", "timm_v1.onnx.json"),
    }
    done = run("validate", "--target", "onnxruntime", "--data", photos, "--limit", 4, "--json")
    assert "taking mine/timm_v1.onnx, the newest model of the workspace" in done.stderr
    assert json_of(done)["artifact"] == "mine/timm_v1.onnx"


@pytest.mark.parametrize("name", CASES)
def test_a_summary_is_for_people_and_fits_80_columns(
    run: Run, fill: Callable[[tuple[object, ...]], list[str]], name: str
) -> None:
    done = run(*fill(CASES[name].arguments))
    assert done.exit_code == 0, done.stderr
    assert not done.stdout.startswith("{")
    assert done.stdout.count("\n") >= 3
    # a path is as long as it is
    too_long = [line for line in done.stdout.splitlines() if len(line) > 80 and os.sep not in line]
    assert too_long == []


def test_long_errors_are_folded(run: Run) -> None:
    lines = run("export", "--variant", "tyni").stderr.splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 80


# Each pattern is a line that our own code writes.
NOTES = [
    r"timm_v1\.safetensors\b.*ImageNet's.*",
    r"exporting timm_v1 at 32x32",
    r"quantizing timm_v1\.onnx for \w+ with 2 images of .*",
    r"building \S+ from \S+ with openvino \S+",
    r"taking \S+, the newest .* of the workspace",
    r"\d+ of the \d+ images were calibrated with",
]


def test_libraries_write_nothing_to_the_terminal(photos: Path, tmp_path: Path) -> None:
    """A process of its own, so that what libraries say when they are imported would be seen too."""
    commands: list[list[object]] = [
        ["export", "--checkpoint", CHECKPOINT, "--resolution", 32],
        *(
            ["quantize", "--calib", photos, "--samples", 2, "--allow-slower", "--method", method]
            for method in ("ort", "nncf", "ptq")
        ),
        ["build"],
        ["validate", "--data", photos, "--limit", 4],
        ["validate", "--data", photos, "--limit", 4, "--target", "torch"],
        ["benchmark", "--runs", 1, "--threads", 1],
    ]
    code = (
        "from convnext_edge.cli import main\n"
        f"for command in {[[str(word) for word in command] for command in commands]}:\n"
        "    main([*command, '--json'], standalone_mode=False)\n"
        "    print('---')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = done.stdout.split("---\n")[:-1]
    assert [type(json.loads(text)) for text in objects] == [dict] * len(commands)
    foreign = [line for line in done.stderr.splitlines() if not any(re.fullmatch(n, line) for n in NOTES)]
    assert foreign == []
