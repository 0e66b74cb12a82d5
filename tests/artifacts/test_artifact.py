"""Artifacts: written whole or not at all, and trusted only where file and sidecar belong together."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.full_disk import small_files

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts import files
from convnext_edge.artifacts.artifact import Artifact, Calibration, Description, Link, Verdict
from convnext_edge.artifacts.files import COMMITTED
from convnext_edge.artifacts.sidecar import read_sidecar, sidecar_path
from convnext_edge.artifacts.store import find_link, open_artifact, write_artifact
from convnext_edge.errors import ArtifactError, TargetError, UsageError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.version import __version__

DESCRIPTION = Description(
    kind="onnx",
    stem="tiny",
    variant="tiny",
    architecture=Architecture((3, 3, 9, 3), (96, 192, 384, 768)),
    preprocessing=Preprocessing(resolution=384, crop=1.0),
    precision="int8",
    target="openvino",
    method="ptq",
    recipe={"range": "mse"},
    calibration=Calibration("photos", 2, "ab" * 32),
    calibration_hashes=("0123456789abcdef", "fedcba9876543210"),
    quantized_layers=("head",),
    float_layers=("stem",),
    classes=("cat", "dog"),
    weights=Link("tiny.safetensors", "cd" * 32),
    parent=Link("tiny.onnx", "ef" * 32),
    verdict=Verdict(False, ("speed", "drop"), ("drop (2 points lost, 1 allowed)",), ("few images",)),
)


def write(path: Path, content: bytes = b"graph", companion: bytes | None = None) -> Artifact:
    def files(scratch: Path) -> None:
        scratch.write_bytes(content)
        if companion is not None:
            scratch.with_suffix(".bin").write_bytes(companion)

    return write_artifact(path, DESCRIPTION, files)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def edit_sidecar(path: Path, **changes: object) -> None:
    sidecar = sidecar_path(path)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))


def refusal(path: Path) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        open_artifact(path)
    assert str(path.name) in caught.value.message
    assert caught.value.hint
    return caught.value


# Reading


def test_an_artifact_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = write(tmp_path / "deeper" / "model.onnx")
    assert open_artifact(tmp_path / "deeper" / "model.onnx") == written
    assert written.description == DESCRIPTION
    assert names(tmp_path / "deeper") == {"model.onnx", "model.onnx.json"}


def test_what_is_judged_is_whole_and_not_yet_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    bare = replace(DESCRIPTION, verdict=None)
    seen: list[Artifact] = []

    def judge(made: Artifact) -> Verdict:
        assert (made.path.read_bytes(), path.exists()) == (b"graph", False)
        seen.append(made)
        return Verdict(passed=True, gates=("speed",))

    written = write_artifact(path, bare, lambda file: file.write_bytes(b"graph") and None, judge=judge)
    assert open_artifact(path) == written
    assert written.description == replace(bare, verdict=Verdict(passed=True, gates=("speed",)))
    assert seen == [replace(written, path=seen[0].path, description=bare)]


def test_what_cannot_be_judged_leaves_the_old_file(tmp_path: Path) -> None:
    def judge(made: Artifact) -> Verdict:
        raise TargetError("refused", hint="")

    write(tmp_path / "model.onnx", b"old")
    with pytest.raises(TargetError):
        write_artifact(
            tmp_path / "model.onnx", DESCRIPTION, lambda file: file.write_bytes(b"new") and None, judge=judge
        )
    assert open_artifact(tmp_path / "model.onnx").path.read_bytes() == b"old"
    assert names(tmp_path) == {"model.onnx", "model.onnx.json"}


def test_a_sidecar_holds_the_digest_the_tools_and_the_command(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx")
    sidecar = json.loads((tmp_path / "model.onnx.json").read_text())
    assert sidecar["sha256"] == hashlib.sha256(b"graph").hexdigest()
    assert sidecar["parent"] == {"name": "tiny.onnx", "sha256": "ef" * 32}
    assert sidecar["tools"]["convnext-edge"] == __version__
    assert {"torch", "torchao", "onnx", "onnxruntime", "openvino"} <= sidecar["tools"].keys()
    assert sidecar["command"]


def test_companions_belong_to_the_artifact(tmp_path: Path) -> None:
    artifact = write(tmp_path / "model.xml", b"graph", companion=b"weights")
    assert artifact.files.keys() == {"model.xml", "model.bin"}
    assert artifact.bytes == len(b"graph") + len(b"weights")


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
    edit_sidecar(tmp_path / "model.onnx", format=2)
    assert "has format 2, this version reads 1" in refusal(tmp_path / "model.onnx").message


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


# Links


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


# Writing


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_whoever_may_read_the_sidecar_may_read_the_file(tmp_path: Path) -> None:
    """safetensors makes files that only their owner may read."""

    def secret(scratch: Path) -> None:
        scratch.write_bytes(b"weights")
        scratch.chmod(0o600)

    write_artifact(tmp_path / "model.onnx", DESCRIPTION, secret)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("error", [TargetError("refused"), RuntimeError("a fault"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    def fail(scratch: Path) -> None:
        scratch.write_bytes(b"half")
        scratch.with_suffix(".bin").write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        write_artifact(tmp_path / "model.xml", DESCRIPTION, fail)
    assert names(tmp_path) == set()


def test_a_writer_that_fails_leaves_the_old_artifact_as_it_was(tmp_path: Path) -> None:
    old = write(tmp_path / "model.onnx")
    with pytest.raises(ArtifactError), small_files(10):
        write(tmp_path / "model.onnx", b"a longer graph")
    assert open_artifact(tmp_path / "model.onnx") == old
    assert names(tmp_path) == {"model.onnx", "model.onnx.json"}


def test_an_artifact_replaces_the_one_of_its_name(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx")
    new = write(tmp_path / "model.onnx", b"another graph")
    assert open_artifact(tmp_path / "model.onnx") == new


def test_a_full_disk_is_said_with_the_space_that_is_left(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught, small_files(10):
        write(tmp_path / "model.onnx", b"more than ten bytes")
    assert caught.value.message == f"cannot write {tmp_path / 'model.onnx'}: File too large"
    assert f"{tmp_path} has" in caught.value.hint
    assert names(tmp_path) == set()


def test_a_sidecar_that_does_not_fit_takes_its_file_with_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError), small_files(10):
        write(tmp_path / "model.onnx", b"graph")
    assert names(tmp_path) == set()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"cannot write .*model\.onnx: (Not a directory|File exists)"):
        write(tmp_path / "file" / "model.onnx")


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


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
def test_nothing_takes_the_place_of_a_file_that_is_not_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(UsageError, match=f"{name} is no file of convnext-edge, and model.xml would"):
        write(tmp_path / "model.xml", companion=b"weights")
    assert (tmp_path / name).read_bytes() == b"precious"
    assert names(tmp_path) == {name}


def test_a_companion_that_is_no_longer_needed_goes_and_what_a_sidecar_only_claims_stays(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.xml"
    artifact = write(path, companion=b"weights")
    (tmp_path / "thesis.txt").write_bytes(b"precious")
    edit_sidecar(path, files={**artifact.files, "thesis.txt": "0" * 64})
    write(path)
    assert names(tmp_path) == {"model.xml", "model.xml.json", "thesis.txt"}
