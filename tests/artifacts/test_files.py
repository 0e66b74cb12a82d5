"""What is written is complete or absent, and leaves nothing beside it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from support.full_disk import small_files

from convnext_edge.artifacts.files import write_bytes, write_text
from convnext_edge.errors import ArtifactError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "file.txt", "é\n")
    assert (tmp_path / "a" / "b" / "file.txt").read_bytes() == b"\xc3\xa9\n"
    assert names(tmp_path) == ["a", "b", "file.txt"]


def test_a_file_that_does_not_fit_leaves_the_old_one_as_it_was(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"old")
    with (
        small_files(10),
        pytest.raises(ArtifactError, match=r"cannot write .*file: File too large") as caught,
    ):
        write_bytes(tmp_path / "file", b"more than ten bytes")
    assert "MiB free" in caught.value.hint
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"cannot write .*below: (Not a directory|File exists)"):
        write_bytes(tmp_path / "file" / "below", b"")


def write_often(path: Path, byte: int) -> None:
    for _ in range(50):
        write_bytes(path, bytes([byte]) * 10_000)


def test_processes_that_write_the_same_file_do_not_mix(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_often, args=(tmp_path / "file", byte)) for byte in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    content = (tmp_path / "file").read_bytes()
    assert (len(content), len(set(content))) == (10_000, 1)
    assert names(tmp_path) == ["file"]
