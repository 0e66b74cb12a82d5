"""What the commands print: JSON, summaries for people, notes, and nothing else on the terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.command_line import Run
from support.models import CHECKPOINT, RESOLUTION, Models

import convnext_edge
from convnext_edge import validate

EXPORT = ("export", "--checkpoint", CHECKPOINT, "--resolution", RESOLUTION)


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
    "predict": Case(("predict", "{int8}", "{photos}"), "predictions failed task artifact target"),
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


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """What each of the `CASES` returned, which is printed in two ways."""
    return {}


@pytest.fixture
def run_once(run: Run, results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command whose function is called only where it has not returned yet."""

    def run_it(name: str, *arguments: object) -> Result:
        function = getattr(convnext_edge, name)

        def call(**given: object) -> Any:
            if name not in results:
                results[name] = function(**given)
            return results[name]

        monkeypatch.setattr(convnext_edge, name, call)
        return run(name, *arguments)

    return run_it


@pytest.mark.parametrize("name", CASES)
def test_json_is_one_object_with_the_promised_keys(
    run_once: Run, fill: Callable[[tuple[object, ...]], list[str]], name: str
) -> None:
    done = run_once(*fill(CASES[name].arguments), "--json")
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


# Notes and summaries


@pytest.mark.slow
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
    run_once: Run, fill: Callable[[tuple[object, ...]], list[str]], name: str
) -> None:
    done = run_once(*fill(CASES[name].arguments))
    assert done.exit_code == 0, done.stderr
    assert not done.stdout.startswith("{")
    assert done.stdout.count("\n") >= 3
    # a path is as long as it is
    too_long = [line for line in done.stdout.splitlines() if len(line) > 80 and os.sep not in line]
    assert too_long == []


# Each pattern is a line that our own code writes.
NOTES = [
    r"timm_v1: no tensor shows it, so it is assumed: .*",
    r"exporting timm_v1 at 32",
    r"(quantize|export|build|validate|benchmark): [^:]+(, \d+ of \d+)?(, \d+ s)?",  # what takes long
    r"quantizing timm_v1\.(onnx|safetensors) for \w+ with 2 images of .*",
    r"building \S+ from \S+ with openvino \S+",
    r"taking \S+, the newest .* of the workspace",
    r"class names are not taken from \S+: .*",
    r"\d+ of the \d+ images were calibrated with",
    r"timing is not to be relied on: .*",  # on a busy machine
    r"the gate on speed is not decided: .*",
    r"\S+ is replaced: it had another resolution .*",
    r"\S+ does not say how images are prepared: .*",
    r"\S+: nothing told it, so these are taken: images as .*",
    r"the reference gets .* right, which is no better than chance .*",
]


@pytest.mark.slow(seconds=40)
def test_libraries_write_nothing_to_the_terminal(photos: Path, tmp_path: Path) -> None:
    """A process of its own, so that what libraries say when they are imported would be seen too."""
    commands: list[list[object]] = [
        # first what imports most, while nothing is imported yet
        ["quantize", "--checkpoint", CHECKPOINT, "--calib", photos, "--samples", 2, "--no-timing"],
        ["export", "--checkpoint", CHECKPOINT, "--resolution", 32],
        # timed once, in the fewest rounds: it is the same code for each method
        ["quantize", "--calib", photos, "--samples", 2, "--no-timing", "--method", "ort"],
        ["quantize", "--calib", photos, "--samples", 2, "--no-timing", "--method", "nncf"],
        ["quantize", "--calib", photos, "--samples", 2, "--allow-slower", "--method", "ptq"],
        ["build"],
        ["validate", "--data", photos, "--limit", 4],
        ["validate", "--data", photos, "--limit", 4, "--target", "torch"],
        ["benchmark", "--runs", 1, "--threads", 1],
    ]
    code = (
        "import sys\n"
        "from convnext_edge.cli import main\n"
        f"for command in {[[str(word) for word in command] for command in commands]}:\n"
        "    main([*command, '--json'], standalone_mode=False)\n"
        "    print('---')\n"
        "    sys.modules['convnext_edge.commands.quantize.speed'].SECONDS = 0.0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = done.stdout.split("---\n")[:-1]
    assert [type(json.loads(text)) for text in objects] == [dict] * len(commands)
    foreign = [line for line in done.stderr.splitlines() if not any(re.fullmatch(n, line) for n in NOTES)]
    assert foreign == []


def test_names_with_control_characters_are_shown_escaped(run: Run) -> None:
    refused = run("benchmark", "\x1b[31mred\u202e.onnx")
    assert refused.exit_code == 1
    assert "\\x1b[31mred\\u202e.onnx does not exist" in refused.stderr


@pytest.mark.parametrize("option", ["--only-rivals", "--targets", "--methods"])
def test_an_option_that_names_nothing_is_not_taken_for_all(run: Run, option: str) -> None:
    """As of a variable of a script that is not set."""
    refused = run("compare", "--calib", "demo", "--data", "demo", option, " ,")
    assert refused.exit_code == 2
    assert f"Invalid value for '{option}': ' ,' names nothing." in refused.stderr
