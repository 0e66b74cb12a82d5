"""The workspace: which folder it is, and which of its artifacts is taken where none is named."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Description, Verdict
from convnext_edge.artifacts.files import WRITING
from convnext_edge.artifacts.replaced import announce_replacement
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace, file_name
from convnext_edge.errors import ArtifactError
from convnext_edge.images.preprocessing import Preprocessing

WEIGHTS = Description(
    kind="weights",
    stem="tiny",
    variant="tiny",
    architecture=Architecture((1,), (8,), classes=10),
    preprocessing=Preprocessing(),
)
MODEL = replace(WEIGHTS, kind="onnx")


def put(workspace: Workspace, name: str, description: Description, *, age: int) -> Path:
    """An artifact that is `age` seconds old."""
    path = workspace.folder / name
    write_artifact(path, description, lambda file: file.write_text(name) and None)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def newest(workspace: Workspace, kind: str = "onnx") -> Path:
    wanted = workspace.choose(None, lambda d: d.kind == kind, what="model", command="convnext-edge export")
    return wanted.path


def test_what_a_killed_command_began_in_a_folder_that_commands_write_to_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`embed -o app` writes beside the workspace, and `finetune` into a folder in it."""
    workspace = Workspace(tmp_path / "work")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    places = (Path(), workspace.folder, workspace.results, workspace.snapshots)
    begun = [place / f"{WRITING}x" for place in places]
    for folder in begun:
        folder.mkdir(parents=True)
    Workspace.at(workspace.folder)
    assert [folder for folder in begun if folder.exists()] == []


def test_the_folder_is_the_one_given_else_of_the_environment_else_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Workspace.at(None).folder == Path("convnext-edge-out")
    monkeypatch.setenv("CONVNEXT_EDGE_WORKSPACE", "mine")
    assert Workspace.at(None).folder == Path("mine")
    assert Workspace.at(Path("given")).folder == Path("given")


def test_the_newest_artifact_of_the_kind_is_taken(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    put(workspace, "old.onnx", MODEL, age=30)
    wanted = put(workspace, "new.onnx", MODEL, age=20)
    put(workspace, "newer.safetensors", WEIGHTS, age=10)
    assert newest(workspace) == wanted


def test_the_newest_that_is_from_the_future_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A clock that was set back makes the newest one of an earlier day."""
    workspace = Workspace(tmp_path)
    put(workspace, "new.onnx", MODEL, age=20)
    with caplog.at_level("INFO"):
        newest(workspace)
    assert "future" not in caplog.text
    ahead = put(workspace, "ahead.onnx", MODEL, age=-4_000_000_000)
    with caplog.at_level("INFO"):
        assert newest(workspace) == ahead
    assert "ahead.onnx is from the future by this clock" in caplog.text


FAILED = Verdict(False, ("speed", "drop"), ("drop (2 points lost, 1 allowed)",))


@pytest.mark.parametrize("named", [True, False], ids=["named", "newest"])
@pytest.mark.parametrize(
    ("kind", "verdict", "said"),
    [
        ("onnx", None, ""),
        ("onnx", Verdict(passed=True, gates=("drop",)), ""),
        ("onnx", FAILED, "WARNING: m did not pass when it was made: drop (2 points lost, 1 allowed). "),
        ("engine", FAILED, "WARNING: the model of m did not pass when it was made: drop (2 points"),
    ],
)
def test_a_model_that_did_not_pass_is_taken_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: Any, verdict: Any, said: str, *, named: bool
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    path = put(Workspace(tmp_path), "m", replace(MODEL, kind=kind, verdict=verdict), age=0)
    Workspace(tmp_path).choose(path if named else None, lambda _: True, what="model", command="")
    assert said in caplog.text
    assert ("WARNING: " in caplog.text) is bool(said)


@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
def test_a_workspace_without_the_artifact_says_which_command_makes_it(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "work"
    if exists:
        put(Workspace(folder), "tiny.safetensors", WEIGHTS, age=0)
    with pytest.raises(ArtifactError) as caught:
        newest(Workspace(folder))
    assert caught.value.message == f"there is no model in the workspace {folder}"
    assert caught.value.hint == "Make one: convnext-edge export"


def test_files_that_are_not_ours_do_not_count(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    wanted = put(workspace, "tiny.onnx", MODEL, age=10)
    (tmp_path / "foreign.onnx").write_text("")
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "gone.onnx.json").write_text("{}")
    assert newest(workspace) == wanted


def test_a_damaged_sidecar_is_named_before_an_older_model_is_taken(tmp_path: Path) -> None:
    put(Workspace(tmp_path), "old.onnx", MODEL, age=10)
    put(Workspace(tmp_path), "new.onnx", MODEL, age=0)
    (tmp_path / "new.onnx.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"new\.onnx\.json is damaged: it is not JSON"):
        newest(Workspace(tmp_path))


def test_the_newest_artifact_is_checked_before_it_is_taken(tmp_path: Path) -> None:
    put(Workspace(tmp_path), "tiny.onnx", MODEL, age=0).write_text("changed")
    with pytest.raises(ArtifactError, match="does not match its sidecar"):
        newest(Workspace(tmp_path))


def test_an_artifact_that_is_named_is_taken_whatever_is_newer(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    named = put(workspace, "old.onnx", MODEL, age=10)
    put(workspace, "new.onnx", MODEL, age=0)
    found = workspace.choose(str(named), lambda _: False, what="model", command="convnext-edge export")
    assert found.path == named


def test_which_one_was_chosen_is_told_and_for_which_target_none_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    wanted = put(Workspace(tmp_path), "new.onnx", MODEL, age=0)
    assert newest(Workspace(tmp_path)) == wanted
    assert caplog.messages == [f"taking {wanted}, the newest model of the workspace"]
    with pytest.raises(ArtifactError, match="there is no model for openvino in the workspace"):
        Workspace(tmp_path).choose(
            None, lambda d: d.target == "openvino", what="model", command="", target="openvino"
        )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "tiny.onnx"),
        ({"target": "openvino"}, "tiny-openvino.onnx"),
        ({"precision": "int8", "method": "ptq", "target": "openvino"}, "tiny-int8-openvino.onnx"),
        ({"precision": "int8", "method": "nncf", "target": "openvino"}, "tiny-int8-nncf-openvino.onnx"),
        ({"input_type": "uint8", "stem": "mine"}, "mine-uint8.onnx"),
        ({"usual_resolution": 224}, "tiny.onnx"),
        ({"usual_resolution": 384}, "tiny-224px.onnx"),
        ({"opset": 20}, "tiny.onnx"),
        ({"opset": 17, "target": "openvino"}, "tiny-openvino-opset17.onnx"),
        (
            {"precision": "w4a8", "recipe_name": "mine", "target": "openvino"},
            "tiny-w4a8-recipe-mine-openvino.onnx",
        ),
    ],
)
def test_a_name_says_what_the_file_is(changes: dict[str, Any], name: str) -> None:
    assert file_name(replace(MODEL, **changes), ".onnx") == name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"preprocessing": Preprocessing(resolution=96)}, "another resolution (224, now 96)"),
        ({"recipe": {"range": "minmax"}}, "another recipe"),
    ],
)
def test_what_replaces_a_file_of_another_kind_is_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], said: str
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    path = put(Workspace(tmp_path), "tiny.onnx", MODEL, age=10)
    announce_replacement(tmp_path / "none.onnx", replace(MODEL, **changes))
    announce_replacement(path, replace(MODEL, **changes))
    assert said in caplog.text
    assert bool(caplog.messages) is bool(said)
