"""Each file is read once for its digest, and anew whenever it has changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts import digests
from convnext_edge.artifacts.artifact import Description
from convnext_edge.artifacts.digests import TICK_NS, sha256
from convnext_edge.artifacts.store import find_link, open_artifact, write_artifact
from convnext_edge.errors import ArtifactError
from convnext_edge.images.preprocessing import Preprocessing

DESCRIPTION = Description("weights", "tiny", None, Architecture((1,), (8,)), Preprocessing())


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read for a digest."""
    found: list[str] = []
    plain = hashlib.file_digest

    def counted(file: object, algorithm: str) -> object:
        found.append(Path(file.name).name)  # type: ignore[attr-defined]
        return plain(file, algorithm)  # type: ignore[arg-type]

    monkeypatch.setattr(digests.hashlib, "file_digest", counted)
    return found


def wait() -> None:
    time.sleep(3 * TICK_NS / 1e9)


def write_slowly(path: Path) -> None:
    """As large files are written: when the last byte is, the file system's clock has gone on."""
    path.write_bytes(b"weights")
    wait()


def test_an_artifact_is_read_once_by_all_that_check_it(tmp_path: Path, reads: list[str]) -> None:
    written = write_artifact(tmp_path / "w.safetensors", DESCRIPTION, write_slowly)
    open_artifact(written.path)
    find_link(written.link, (tmp_path,), wanted_by=tmp_path / "engine")
    assert written.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert reads == ["w.safetensors"]


def test_a_file_found_on_the_disk_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    write_slowly(tmp_path / "file")
    assert sha256(tmp_path / "file") == sha256(tmp_path / "file") == hashlib.sha256(b"weights").hexdigest()
    assert reads == ["file"]


def overwrite(path: Path) -> None:
    path.write_bytes(b"WEIGHTS")


def overwrite_and_hide_it(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def move_another_there(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"WEIGHTS")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [overwrite, overwrite_and_hide_it, move_another_there])
def test_a_file_that_changed_since_it_was_read_is_refused(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    written = write_artifact(tmp_path / "w.safetensors", DESCRIPTION, write_slowly)
    open_artifact(written.path)
    wait()
    change(written.path)
    with pytest.raises(ArtifactError, match="does not match its sidecar"):
        open_artifact(written.path)
    with pytest.raises(ArtifactError, match="does not match its sidecar"):
        find_link(written.link, (tmp_path,), wanted_by=tmp_path / "engine")


def test_a_change_right_after_the_reading_is_seen(tmp_path: Path) -> None:
    for number in range(200):
        path = tmp_path / "file"
        path.write_bytes(b"%3d" % number)
        assert sha256(path) == hashlib.sha256(b"%3d" % number).hexdigest()
