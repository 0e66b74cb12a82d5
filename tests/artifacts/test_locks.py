"""Writers wait for readers and for each other, and say so where it takes long."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from convnext_edge.artifacts import locks
from convnext_edge.artifacts.locks import exclusive, hold, reading, release
from convnext_edge.errors import ArtifactError

SOON = 0.05  # seconds in which what does not wait is done


class Writer(threading.Thread):
    """Takes the lock of a folder, and notes that it had it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.done = folder, threading.Event()
        self.start()

    def run(self) -> None:
        with exclusive(self.folder):
            self.done.set()


def test_a_writer_waits_until_all_is_loaded(tmp_path: Path) -> None:
    with reading():
        hold(tmp_path)
        writer = Writer(tmp_path)
        assert not writer.done.wait(SOON)
        release()
        assert writer.done.wait(5)
    writer.join()


def test_a_reading_inside_another_ends_with_the_outer_one(tmp_path: Path) -> None:
    with reading():
        with reading():
            hold(tmp_path)
        writer = Writer(tmp_path)
        assert not writer.done.wait(SOON)
    assert writer.done.wait(5)
    writer.join()


def test_outside_of_readings_nothing_stays_locked(tmp_path: Path) -> None:
    hold(tmp_path)
    writer = Writer(tmp_path)
    assert writer.done.wait(5)
    writer.join()


def test_a_reader_that_writes_does_not_wait_for_itself(tmp_path: Path) -> None:
    with reading():
        hold(tmp_path)
        with exclusive(tmp_path):
            pass
        hold(tmp_path)


def test_readers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with locks.shared(tmp_path), locks.shared(tmp_path):
        assert locks._reading.get() is None


def test_who_waits_is_told_and_gives_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.01)
    monkeypatch.setattr(locks, "LIMIT", 0.1)
    caplog.set_level(logging.INFO, "convnext_edge")
    with (
        locks.shared(tmp_path),
        pytest.raises(ArtifactError, match=r"has kept .* locked for"),
        exclusive(tmp_path),
    ):
        pass
    assert caplog.messages == [f"waiting for another convnext-edge that works in {tmp_path}"]


def test_a_folder_that_is_not_there_needs_no_lock(tmp_path: Path) -> None:
    with reading():
        hold(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
