"""Paths that no file can have, and files that the system refuses: one clear error from every command."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import commands_in, run, said
from support.models import CHECKPOINT

from benchmarks.fuzzing.artifacts import record as kept
from convnext_edge import build_script, export, report
from convnext_edge.artifacts import locks
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.border import check_path, refused
from convnext_edge.errors import ConvNeXtEdgeError, UsageError

LONG = "x" * 300
FOREIGN = os.fsdecode(b"caf\xe9.onnx")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with commands_in(tmp_path, monkeypatch):
        yield


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "--checkpoint", CHECKPOINT, "-o", ""), "it is empty: name a file or a folder"),
        (
            ("export", "--checkpoint", CHECKPOINT, "-o", f"{FOREIGN}/a.onnx"),
            "caf\\xe9.onnx/a.onnx' is not UTF-8",
        ),
        (
            ("export", "--variant", "demo", "--workspace", os.fsdecode(b"\xff")),
            "--workspace b'\\xff' is not UTF-8",
        ),
        (("quantize", FOREIGN, "--calib", "demo"), "MODEL b'caf\\xe9.onnx' is not UTF-8"),
        (("report", "-o", ""), "it is empty: name a file or a folder"),
        (("report", "-o", "/"), "-o / names a folder that is there already"),
        (("report", "-o", "."), "-o . names a folder that is there already"),
        (("report", "-o", "a/.."), "-o a/.. names a folder that is there already"),
        (("embed", "--lang", "cpp", "-o", "/"), "-o / names a folder that is there already"),
        (("report", "--workspace", ""), "it is empty: name a file or a folder"),
    ],
)
def test_a_path_that_cannot_be_is_wrong_usage(
    arguments: tuple[object, ...], words: str, tmp_path: Path
) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in said(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("quantize", f"{LONG}.onnx", "--calib", "demo"),
        ("quantize", "--calib", LONG, "--checkpoint", CHECKPOINT),
        ("export", "--checkpoint", CHECKPOINT, "--workspace", LONG),
        ("build", f"{LONG}.onnx"),
    ],
)
def test_a_name_of_over_255_bytes_is_an_error(arguments: tuple[object, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert "File name too long" in said(done)


def test_what_the_system_refuses_is_an_error_of_ours() -> None:
    found = refused(PermissionError(13, "Permission denied", "model.onnx"))
    assert found.message == "model.onnx cannot be used: Permission denied"
    assert found.hint


def test_the_library_refuses_as_the_command_line_does() -> None:
    with pytest.raises(UsageError, match="is no path"):
        export("demo", output="a\0b.onnx")
    with pytest.raises(ConvNeXtEdgeError, match="File name too long"):
        export(checkpoint=CHECKPOINT, workspace=LONG)


def test_a_plain_path_passes() -> None:
    check_path(Path("out") / "é.onnx", "-o", written=True)
    check_path("..", "--workspace", written=False)


def test_half_a_character_in_a_result_does_not_stop_report(tmp_path: Path) -> None:
    """A surrogate, as Python makes of a byte in a name that is not UTF-8."""
    record = kept()
    record["model"] |= {"model": "caf\udce9", "file": "caf\udce9.onnx"}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "one.json").write_text(json.dumps(record))
    try:
        report(workspace=tmp_path)
    except ConvNeXtEdgeError as error:
        assert "one.json" in error.message  # noqa: PT017  says which file to delete


def test_what_is_no_command_has_the_same_border(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_workspace(folder: object) -> Workspace:
        assert locks._reading.get() is not None
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Workspace, "at", open_workspace)
    with pytest.raises(UsageError, match="-o '' is no path"):
        build_script(output="")
    with pytest.raises(UsageError, match="--max-batch 0 is less than 1"):
        build_script(max_batch=0)
    with pytest.raises(ConvNeXtEdgeError, match="mine cannot be used: Permission denied"):
        build_script(workspace="mine")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_in_the_place_of_the_output_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "link.onnx").symlink_to("model.onnx")
    done = run("export", "--variant", "demo", "-o", "link.onnx")
    assert done.exit_code == 2
    assert "link.onnx is a link to model.onnx, and writing would replace it" in said(done)
    assert [path.name for path in tmp_path.iterdir()] == ["link.onnx"]
