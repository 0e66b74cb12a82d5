"""The commands of a row: what they are, and that they give its numbers again in an empty folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import Run, commands_in
from support.models import Models
from support.report_rows import record, row

from convnext_edge import benchmark, report, validate
from convnext_edge.artifacts.workspace import DEFAULT
from convnext_edge.commands.report.page import make_page
from convnext_edge.commands.report.repeating import commands_of, repeated

LIMIT = 16


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    with commands_in(tmp_path, monkeypatch) as run_there:
        yield run_there


@pytest.mark.slow(seconds=20)
def test_a_row_is_repeated_by_its_commands_in_an_empty_folder(
    models: Models, photos: Path, tmp_path: Path, run: Run
) -> None:
    engine = models.engine("openvino", models.quantized())
    validate(engine, data=str(photos), limit=LIMIT, workspace=models.workspace)
    benchmark(engine, threads=1, runs=2, workspace=models.workspace)
    made = report(output=tmp_path.parent / f"{tmp_path.name}.json", workspace=models.workspace)
    (first,) = [row for row in made.rows if row["file"] == engine.name and row["images"] == LIMIT]
    (told,) = [row for group in made.groups for row in group["rows"] if row["file"] == engine.name]
    assert list(tmp_path.iterdir()) == []
    names = []
    for command in told["commands"]:
        program, *words = shlex.split(command)
        assert program == "convnext-edge"
        names.append(words[0])
        done = run(*words)
        assert done.exit_code == 0, done.stderr
    assert names == ["export", "quantize", "build", "validate", "benchmark"]
    assert [path.name for path in tmp_path.iterdir()] == ["convnext-edge-out"]
    (again,) = report(workspace=tmp_path / "convnext-edge-out").rows
    low, high = first["agreement_ci95"]
    assert low <= again["agreement"] <= high
    assert again["sqnr_db"] == pytest.approx(first["sqnr_db"], abs=0.1)
    assert (again["images"], again["threads"], again["weights"]) == (LIMIT, 1, first["weights"])


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("python -m convnext_edge quantize /w/a.onnx --workspace /w", "quantize convnext-edge-out/a.onnx"),
        ("convnext-edge quantize --calib 'a b' --json --workspace=/w -v", "quantize --calib 'a b'"),
        ("convnext-edge build ./a.onnx -o /tmp/b.onnx", f"build {DEFAULT}/a.onnx -o {DEFAULT}/b.onnx"),
        ("convnext-edge quantize --recipe other/a.toml", "quantize --recipe other/a.toml"),
    ],
)  # fmt: skip
def test_files_of_ours_are_in_the_workspace_of_the_empty_folder(command: str, wanted: str) -> None:
    assert repeated(command, ["a.onnx"], "b.onnx") == f"convnext-edge {wanted}"


def test_a_row_whose_first_commands_are_not_known_says_so() -> None:
    made = [{"file": "a.onnx", "command": "convnext-edge export tiny"}]
    said = "The first commands are not known"
    assert said not in make_page([row(made=made)], [])
    assert said in make_page([row(made=[{"file": "a.xml", "command": "convnext-edge build"}])], [])
    assert said in make_page([row()], [])


def test_what_is_no_command_of_a_shell_is_shown_as_it_is() -> None:
    assert repeated("convnext-edge 'broken", []) == "convnext-edge 'broken"


def test_only_results_of_the_same_file_images_and_place_belong_to_a_row() -> None:
    ours = record("validate", {"target": "openvino", "data": "demo"})
    others = [
        record("validate", {"target": "openvino", "data": "photos"}),
        record("validate", {"target": "onnxruntime", "data": "demo"}),
        record("validate", {"target": "openvino", "data": "demo"}, sha256=64 * "9"),
        record(
            "validate", {"target": "openvino", "data": "demo", "device": {"url": "ssh://a", "runner": None}}
        ),
    ]
    for number, other in enumerate(others):
        other["command"] = f"convnext-edge validate --limit {number}"
    assert commands_of(row(), [ours, *others]) == ["convnext-edge validate"]
