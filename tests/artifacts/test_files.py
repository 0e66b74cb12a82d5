"""What is written is complete or absent, and leaves nothing beside it."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest
from support.full_disk import small_files

from convnext_edge.artifacts import files
from convnext_edge.artifacts.files import (
    COMMITTED,
    WRITING,
    settle,
    settle_temporary,
    temporary_folder,
    write_bytes,
    write_text,
    write_whole,
)
from convnext_edge.artifacts.locks import reading
from convnext_edge.errors import ArtifactError, UsageError


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


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_is_not_replaced_and_a_folder_behind_one_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"old")
    (tmp_path / "work").symlink_to("far")
    (tmp_path / "far" / "link").symlink_to("file")
    (tmp_path / "far" / "nowhere").symlink_to("gone")
    for name, target in (("link", "file"), ("nowhere", "gone")):
        with pytest.raises(UsageError, match=f"work/{name} is a link to {target}, and writing would replace"):
            write_bytes(tmp_path / "work" / name, b"new")

    def make(file: Path) -> None:
        for name in ("file", "link"):  # a companion
            file.with_name(name).write_bytes(b"new")

    with pytest.raises(UsageError, match="is a link to file"):
        write_whole(tmp_path / "work" / "file", make)
    assert (tmp_path / "far" / "file").read_bytes() == b"old"
    write_bytes(tmp_path / "work" / "file", b"new")
    assert (tmp_path / "far" / "file").read_bytes() == b"new"
    assert names(tmp_path / "far") == ["file", "link", "nowhere"]


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


# What a killed process left


def test_what_a_writer_had_not_committed_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{WRITING}x" / "new").mkdir(parents=True)
    (tmp_path / f"{WRITING}x" / "new" / "file").write_bytes(b"half")
    settle(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("moved", [0, 1, 2], ids=["none", "one", "all"])
def test_what_a_writer_had_committed_is_finished(tmp_path: Path, moved: int) -> None:
    committed = tmp_path / f"{COMMITTED}x"
    (committed / "new").mkdir(parents=True)
    (committed / "gone").mkdir()
    for number, name in enumerate(("a", "b")):
        place = tmp_path if number < moved else committed / "new"
        (place / name).write_bytes(b"new")
        if place is not tmp_path:
            (tmp_path / name).write_bytes(b"old")
    (committed / "gone" / "c").touch()
    (tmp_path / "c").write_bytes(b"old")
    settle(tmp_path)
    assert names(tmp_path) == ["a", "b"]
    assert [(tmp_path / name).read_bytes() for name in ("a", "b")] == [b"new", b"new"]


def test_a_committed_folder_that_is_a_link_moves_nothing_here(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "new").mkdir(parents=True)
    (elsewhere / "new" / "file").write_bytes(b"")
    here = tmp_path / "here"
    here.mkdir()
    (here / f"{COMMITTED}x").symlink_to(elsewhere)
    settle(here)
    assert (elsewhere / "new" / "file").exists()
    assert not (here / "file").exists()


def test_the_scratch_folder_of_a_living_writer_stays(tmp_path: Path) -> None:
    def make(file: Path) -> None:
        settle(tmp_path)  # as another process would
        file.write_bytes(b"")

    write_whole(tmp_path / "file", make)
    assert names(tmp_path) == ["file"]


def test_folders_of_the_user_beside_temporary_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "convnext-edge-out").mkdir()
    (tmp_path / ".convnext-edge-scratch-dead").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settle_temporary()
    with temporary_folder() as folder:
        assert folder.is_dir()
        assert len(names(tmp_path)) == 3  # the user's, this one, and what is in this one
    assert names(tmp_path) == ["convnext-edge-out"]


def test_a_file_where_a_folder_is_changes_nothing(tmp_path: Path) -> None:
    def make(file: Path) -> None:
        for name in ("a", "b"):
            file.with_name(name).write_bytes(b"new")

    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b" / "below").mkdir(parents=True)
    with pytest.raises(ArtifactError, match=r"cannot write .*: Is a directory"):
        write_whole(tmp_path / "a", make)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a", "b", "below"]


def test_a_failed_writer_takes_away_the_folders_that_it_made(tmp_path: Path) -> None:
    with small_files(10), pytest.raises(ArtifactError):
        write_bytes(tmp_path / "a" / "b" / "file", b"more than ten bytes")
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_that_is_forked_does_not_keep_its_parents_locks(tmp_path: Path) -> None:
    with reading():
        settle(tmp_path)
        ready, done = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
    write_bytes(tmp_path / "file", b"")  # would wait as long as the child lives
    os.write(done[1], b"x")
    os.waitpid(child, 0)
    assert names(tmp_path) == ["file"]


def test_an_older_commit_that_cannot_be_finished_stops_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = tmp_path / f"{COMMITTED}x" / "new"
    committed.mkdir(parents=True)
    (committed / "file").write_bytes(b"older")
    monkeypatch.setattr(files, "_move", refuse)
    with pytest.raises(ArtifactError, match="has files of a killed command") as caught:
        write_bytes(tmp_path / "file", b"newer")
    assert "Let the owner of" in caught.value.hint
    monkeypatch.undo()
    settle(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"older"


def refuse(committed: Path) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_where_nothing_has_moved_the_old_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(file: Path) -> None:
        for name in ("a", "b"):
            file.with_name(name).write_bytes(b"new")

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(files, "_move", refuse)
    with pytest.raises(ArtifactError, match="Permission denied"):
        write_whole(tmp_path / "a", make)
    monkeypatch.undo()
    settle(tmp_path)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_plain_file_with_the_name_of_a_committed_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / f"{COMMITTED}x").write_bytes(b"")
    write_bytes(tmp_path / "file", b"")
    assert names(tmp_path) == [f"{COMMITTED}x", "file"]
