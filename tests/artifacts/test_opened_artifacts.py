"""Artifacts are trusted only where file and sidecar belong together, and links only where they mean these."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.small_artifacts import DESCRIPTION, edit_sidecar, names, write

from convnext_edge.artifacts import files
from convnext_edge.artifacts.artifact import Link
from convnext_edge.artifacts.files import COMMITTED
from convnext_edge.artifacts.sidecar import read_sidecar
from convnext_edge.artifacts.store import find_link, open_artifact, write_artifact
from convnext_edge.errors import ArtifactError


def refusal(path: Path) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        open_artifact(path)
    assert str(path.name) in caught.value.message
    assert caught.value.hint
    return caught.value


def test_an_artifact_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = write(tmp_path / "deeper" / "model.onnx")
    assert open_artifact(tmp_path / "deeper" / "model.onnx") == written
    assert written.description == DESCRIPTION
    assert names(tmp_path / "deeper") == {"model.onnx", "model.onnx.json"}


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"grapH")
    assert "does not match its sidecar" in refusal(tmp_path / "model.onnx").message


def test_a_changed_companion_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.xml", companion=b"weights")
    (tmp_path / "model.bin").write_bytes(b"Weights")
    with pytest.raises(ArtifactError, match=r"model\.bin does not match its sidecar"):
        open_artifact(tmp_path / "model.xml")


@pytest.mark.parametrize("moved", [1, 2])
def test_what_a_killed_writer_left_and_nobody_may_move_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    path, left = tmp_path / "model.xml", tmp_path / f"{COMMITTED}x" / "new"
    write(path, b"old", companion=b"old")
    write(left / path.name, b"new", companion=b"new")
    for file in sorted(left.iterdir())[:moved]:
        file.replace(tmp_path / file.name)

    def refuse(committed: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "_move", refuse)
    error = refusal(path)
    waiting = ", ".join(["model.xml", "model.xml.json"][moved - 1 :])
    assert "was being written by a command that was killed" in error.message
    assert f"{tmp_path} cannot be written, where {waiting} waits" in error.message
    assert f"--workspace {tmp_path}" in error.hint
    monkeypatch.undo()
    assert open_artifact(path).path.read_bytes() == b"new"


def test_a_companion_in_place_of_its_artifact_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    write(path, companion=b"weights")
    with pytest.raises(ArtifactError, match=r"model\.bin is a part of model\.xml\nName .*model\.xml\."):
        open_artifact(path.with_suffix(".bin"))


def test_a_missing_companion_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.xml", companion=b"weights")
    (tmp_path / "model.bin").unlink()
    with pytest.raises(ArtifactError, match=r"model\.bin is missing"):
        open_artifact(tmp_path / "model.xml")


def test_a_file_without_sidecar_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "foreign.onnx").write_bytes(b"graph")
    error = refusal(tmp_path / "foreign.onnx")
    assert "has no sidecar foreign.onnx.json" in error.message
    assert "export --checkpoint" in error.hint


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.onnx").message


def test_a_sidecar_of_another_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx")
    edit_sidecar(tmp_path / "model.onnx", format=3)
    assert "has format 3, this version reads 1 and 2" in refusal(tmp_path / "model.onnx").message


def test_a_file_under_another_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx")
    for suffix in ("", ".json"):
        (tmp_path / f"model.onnx{suffix}").rename(tmp_path / f"other.onnx{suffix}")
    assert "describes model.onnx, not other.onnx" in refusal(tmp_path / "other.onnx").message


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"null", b"{}", b'{"format": 1}'],
    ids=["empty", "no text", "a list", "null", "no keys", "few keys"],
)
def test_a_broken_sidecar_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "model.onnx")
    (tmp_path / "model.onnx.json").write_bytes(content)
    assert "model.onnx.json is damaged: it" in refusal(tmp_path / "model.onnx").message


@pytest.mark.parametrize(
    "changes",
    [{"preprocessing": {"resolution": "wide"}}, {"weights": {"name": "x"}}, {"files": 3}, {"classes": None}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_sidecar_with_a_wrong_value_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    write(tmp_path / "model.onnx")
    edit_sidecar(tmp_path / "model.onnx", **changes)
    with pytest.raises(ArtifactError):
        read_sidecar(tmp_path / "model.onnx")


def test_a_link_is_found_in_the_first_folder_that_has_it(tmp_path: Path) -> None:
    written = write(tmp_path / "second" / "model.onnx")
    folders = (tmp_path / "first", tmp_path / "second")
    assert find_link(written.link, folders, wanted_by=Path("engine.xml")) == written


def test_a_link_to_nothing_says_where_it_was_looked_for(tmp_path: Path) -> None:
    link = Link("model.onnx", "ab" * 32)
    with pytest.raises(ArtifactError) as caught:
        find_link(link, (tmp_path, tmp_path), wanted_by=Path("engine.xml"))
    assert caught.value.message == f"engine.xml was made from model.onnx, which is not in {tmp_path}"


def test_a_link_to_something_made_anew_is_refused(tmp_path: Path) -> None:
    link = write(tmp_path / "model.onnx").link
    write(tmp_path / "model.onnx", b"another graph")
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        find_link(link, (tmp_path,), wanted_by=Path("engine.xml"))


def test_a_description_without_links_is_read_as_it_was_written(tmp_path: Path) -> None:
    bare = replace(DESCRIPTION, kind="weights", weights=None, parent=None, calibration=None, recipe=None)
    write_artifact(tmp_path / "w.safetensors", bare, lambda path: path.write_bytes(b"w") and None)
    assert open_artifact(tmp_path / "w.safetensors").description == bare


def test_a_stranger_of_the_same_name_does_not_hide_what_a_link_means(tmp_path: Path) -> None:
    """As the checkpoint that lies beside an output, where its weights are in the workspace."""
    kept = write(tmp_path / "workspace" / "weights.safetensors")
    (tmp_path / "weights.safetensors").write_bytes(b"the user's own")
    folders = (tmp_path, tmp_path / "workspace")
    assert find_link(kept.link, folders, wanted_by=tmp_path / "model.onnx") == kept
