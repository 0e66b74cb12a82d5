"""Which kept results are shown: one of each file and image set, and those of files as they are now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.report_rows import VALIDATED

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.report.command import report
from convnext_edge.commands.report.page import make_page
from convnext_edge.commands.rows import join_rows
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.records import current_records, keep, read_records
from convnext_edge.images.preprocessing import Preprocessing

DESCRIBED = Description("onnx", "tiny", "tiny", Architecture((1,), (8,), classes=10), Preprocessing())


def made(path: Path, content: str) -> Artifact:
    return write_artifact(path, DESCRIBED, lambda file: file.write_text(content) and None)


def shown(workspace: Workspace) -> str:
    records = read_records(workspace)
    return make_page(join_rows(records), records)


def test_sets_of_one_name_keep_a_result_each(tmp_path: Path) -> None:
    """As imagenet/val and imagenetv2/val."""
    workspace, engine = Workspace(tmp_path), made(tmp_path / "tiny.onnx", "content")
    for place in ("/a/val", "/b/val", "/b/val"):
        keep("validate", {**VALIDATED, "data": "val", "data_path": place}, engine, workspace)
    records = read_records(workspace)
    assert [r["result"].get("data_path") for r in records if r["result"].get("data") == "val"] in (
        ["/a/val", "/b/val"],
        ["/b/val", "/a/val"],
    )
    page = shown(workspace)
    assert "10 images of /a/val" in page
    assert "10 images of /b/val" in page


def test_files_of_one_name_in_two_folders_keep_a_result_each(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name in "ab":
        (tmp_path / name).mkdir()
        file = made(tmp_path / name / "tiny.onnx", f"content of {name}")
        keep("validate", {**VALIDATED, "artifact": str(file.path)}, file, workspace)
    rows = [row for row in join_rows(read_records(workspace)) if row["file"] == "tiny.onnx"]
    assert sorted(row["folder"] for row in rows) == [str(tmp_path / name) for name in "ab"]
    assert str(tmp_path / "a") in shown(workspace)


def test_results_of_a_file_that_was_made_again_are_left_out_whatever_the_clock_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Workspace(tmp_path)
    result = {**VALIDATED, "artifact": str(tmp_path / "tiny.onnx")}
    old, new = (made(tmp_path / "tiny.onnx", content) for content in ("old", "new"))
    keep("validate", {**result, "data": "before"}, old, workspace)
    (path,) = workspace.results.glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "date": "2100-01-01T00:00:00+00:00"}))
    with caplog.at_level("INFO"):
        assert current_records(read_records(workspace), workspace) == []
    assert "left out: validate of an earlier tiny.onnx" in caplog.text
    keep("validate", result, new, workspace)
    (left,) = current_records(read_records(workspace), workspace)
    assert left["result"]["data"] == "demo"
    elsewhere = {**left, "model": {**left["model"], "folder": "/other", "sha256": old.sha256}}
    assert current_records([elsewhere], workspace) == [elsewhere], "is another file of that name"


@pytest.mark.parametrize("name", ["tiny.onnx", "tiny.onnx.json", "results/more.json"])
def test_a_report_takes_the_place_of_no_artifact_and_of_no_result(tmp_path: Path, name: str) -> None:
    space = Workspace(tmp_path)
    keep("validate", VALIDATED, made(tmp_path / "tiny.onnx", "content"), space)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(UsageError, match=r"belongs to the artifact|among the results"):
        report(format="json", output=tmp_path / name, workspace=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
