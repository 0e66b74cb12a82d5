"""Artifacts are written whole or not at all, and never over a file that is not ours."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.full_disk import small_files
from support.small_artifacts import DESCRIPTION, edit_sidecar, names, write

from convnext_edge.artifacts.artifact import Artifact, Verdict
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.errors import ArtifactError, TargetError, UsageError
from convnext_edge.version import __version__


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
