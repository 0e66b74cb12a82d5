"""One malformed input, watched: what was raised, seconds, memory, and files outside of its folder."""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.errors import ConvNeXtEdgeError

SECONDS = 10.0  # of CPU time: on a busy machine, the time on the wall says little
WAITING = 60.0  # seconds on the wall, for what waits and does not compute
MEMORY = 2**30  # bytes above what the process had before
STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
DEEPEST = 5  # frames that tell one fault from another


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    error: str = ""  # type, text and place of an exception that is none of ours
    seconds: float = 0.0  # of CPU time
    waited: float = 0.0  # seconds on the wall
    bytes: int = 0  # the most memory beyond what there was before
    outside: tuple[str, ...] = ()  # files that appeared, vanished or changed outside of its folder

    @property
    def faults(self) -> list[str]:
        """Return the promises that were broken, as the columns of the report."""
        found = ["tracebacks"] if self.error else []
        found += ["over_10_s"] if self.seconds > SECONDS or self.waited > WAITING else []
        found += ["over_1_gib"] if self.bytes > MEMORY else []
        return found + (["files_outside"] if self.outside else [])


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write the files of an input into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def sandbox(box: Path) -> Iterator[Path]:
    """Work in `box/in/there`, with files around it that nobody may touch."""
    place = box / "in" / "there"
    place.mkdir(parents=True, exist_ok=True)
    for canary in (box / "evil.png", box / "in" / "canary.txt"):
        canary.write_text("untouched")
    before = Path.cwd()
    os.chdir(box / "in")
    try:
        yield place
    finally:
        os.chdir(before)


def observe(read: Callable[[Path], object], place: Path) -> Outcome:
    """Read what is in `place` (of a `sandbox`), and return what became of it."""
    around = _around(place)
    base = _peak(anew=True)
    started, computed = time.perf_counter(), time.process_time()
    error = ""
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            read(place)
    except ConvNeXtEdgeError:
        pass
    except Exception as raised:
        error = _told(raised)
    seconds, waited = time.process_time() - computed, time.perf_counter() - started
    more = max(0, _peak() - base)
    return Outcome(error, seconds, waited, more, tuple(sorted(around ^ _around(place))))


def _told(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "convnext_edge/" in f.filename] or frames
    where = f"{ours[-1].filename.rpartition('convnext_edge/')[2]}:{ours[-1].lineno}"
    text = str(error).splitlines()[0][:200] if str(error) else ""
    return f"{type(error).__module__}.{type(error).__name__} at {where}: {text}"


def _around(place: Path) -> set[str]:
    """Return names, sizes and times of all files of the box but those in `place`."""
    box = place.parents[1]
    found = set()
    for folder, subfolders, files in os.walk(box):
        subfolders[:] = [name for name in subfolders if Path(folder) / name != place]
        for name in files:
            seen = (Path(folder) / name).lstat()
            found.add(f"{Path(folder) / name} {seen.st_size} {seen.st_mtime_ns}")
    return found


def _peak(*, anew: bool = False) -> int:
    """Return the most bytes that the process had in memory, since the last `anew`; 0 where nobody tells."""
    if sys.platform != "linux":
        return 0
    if anew:
        REFS.write_text("5")
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
