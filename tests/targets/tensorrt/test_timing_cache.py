"""The timing cache of TensorRT: read where it is there, and written whole."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from support.full_disk import small_files

from convnext_edge.errors import ArtifactError
from convnext_edge.targets.tensorrt.builder import read_timing_cache, write_timing_cache


class Config:
    """What TensorRT's IBuilderConfig has for timings."""

    def __init__(self, timings: bytes = b"") -> None:
        self.timings = timings

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> None:
        assert not ignore_mismatch
        self.timings = cache

    def get_timing_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: memoryview(self.timings))


def test_the_timings_of_one_build_are_those_the_next_starts_from(tmp_path: Path) -> None:
    path, later = tmp_path / "new" / "timing.cache", Config()
    read_timing_cache(later, path)
    assert later.timings == b""
    write_timing_cache(Config(b"of the first"), path)
    read_timing_cache(later, path)
    assert later.timings == b"of the first"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_cache_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    write_timing_cache(Config(b"old"), path)
    with small_files(10), pytest.raises(ArtifactError, match=r"cannot write .*timing\.cache"):
        write_timing_cache(Config(b"more than ten bytes"), path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_nothing_is_read_or_written_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read_timing_cache(Config(), None)
    write_timing_cache(Config(b"timings"), None)
    assert list(tmp_path.iterdir()) == []
