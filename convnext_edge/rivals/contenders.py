"""Contenders: each makes a file, and a process that runs it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from convnext_edge.images.preprocessing import InputType
from convnext_edge.rivals.process import RivalError, RivalProcess, started
from convnext_edge.rivals.rival import Given, Rival

MAKES_THEM = "make rivals (in a clone of the repository) makes the environments of rivals"


@dataclass(frozen=True)
class File:
    """A file that a contender runs."""

    path: Path
    seconds: float  # that making it took
    bytes: int  # with its companions
    version: str  # of the package that made it


@dataclass(frozen=True)
class Contender:
    """What takes part: a rival, or an engine of ours."""

    rival: Rival
    own: File | None = None  # the engine, of ours
    input_type: InputType = "float32"

    @property
    def ours(self) -> bool:
        """Whether it is ours."""
        return self.own is not None


@dataclass(frozen=True)
class Workshop:
    """Where rivals work."""

    folder: Path  # for what they make
    environments: Path  # holds the environment of each rival that has one of its own
    seconds: float  # longest time that a step may take

    def python(self, rival: Rival, *, runs: bool) -> Path:
        """Return the Python in which a rival makes (or runs) its file; raise RivalError where there is none.

        A package that is installed beside this one needs no environment of its own.
        """
        if rival.environment is None or (runs and not rival.runs_there):
            return Path(sys.executable)
        found = self.environments / rival.environment / "bin" / "python"
        if found.exists():
            return found.absolute()
        if is_installed(rival.package):
            return Path(sys.executable)
        raise RivalError(f"{rival.package} is not installed, and there is no {found}: {MAKES_THEM}")

    @contextmanager
    def process(self, rival: Rival, *, runs: bool) -> Iterator[RivalProcess]:
        """Start a rival's process."""
        python = self.python(rival, runs=runs)
        place = Path(tempfile.mkdtemp(dir=self.folder))
        with started(python, place, self.seconds) as process:
            yield process

    def make(self, rival: Rival, given: Given) -> File:
        """Let a rival make its file; raise RivalError where it fails."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        with self.process(rival, runs=False) as process:
            version = process.version(rival.package)
            made = process.make(rival.make, given, place)
        path = Path(made.path)
        if not path.is_file():
            raise RivalError(f"it made no {path.name}")
        return File(path, made.seconds, size(path), version)


def is_installed(package: str) -> bool:
    """Return whether a distribution is installed beside this one."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def size(path: Path) -> int:
    """Return the bytes of a file and of those beside it that hold its weights."""
    companions = {path, path.with_suffix(".bin"), path.with_name(f"{path.name}.data")}
    return sum(file.stat().st_size for file in companions if file.exists())
