"""What a command shows, with the second in which it shows it: on a terminal of 80 x 24, or in a pipe."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
READ = 65536  # bytes at once
# What moves the cursor or colours text (ECMA-48).
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Watched:
    """What a process wrote, and how it ended."""

    returncode: int
    seconds: float
    shown: tuple[tuple[float, str], ...]  # seconds since the start, and what came then

    @property
    def first(self) -> float:
        """Seconds to the first text that is no control code."""
        return next((moment for moment, text in self.shown if plain(text).strip()), self.seconds)

    @property
    def last(self) -> float:
        """The second of the last text."""
        return max((moment for moment, _ in self.shown), default=self.seconds)

    @property
    def longest(self) -> tuple[float, float, str]:
        """The longest silence before the last text, when it began, and what was shown before."""
        moments = [0.0, *(moment for moment, _ in self.shown)] if self.shown else [0.0, self.seconds]
        gaps = [(after - before, before) for before, after in pairwise(moments)]
        silence, since = max(gaps)
        return silence, since, self.last_before(since)

    def last_before(self, moment: float) -> str:
        """Return the last line that had been shown by a moment."""
        said = plain("".join(text for when, text in self.shown if when <= moment))
        return next((line.strip() for line in reversed(re.split(r"[\r\n]+", said)) if line.strip()), "")

    @property
    def text(self) -> str:
        """All that was shown, with its control codes."""
        return "".join(text for _, text in self.shown)


def plain(text: str) -> str:
    """Return a text without control codes."""
    return CONTROLS.sub("", text)


def watch(
    command: Sequence[str], *, terminal: bool, cwd: Path, environment: Mapping[str, str] | None = None
) -> Watched:
    """Run a command to its end, and record what it writes.

    terminal: standard output and standard error are a terminal, as of somebody who looks on. Else, standard
    error is a pipe, as in CI, and standard output is not looked at.
    """
    started = time.monotonic()
    with opened(terminal) as (reader, writer):
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={
                **os.environ,
                "COLUMNS": "80",
                "LINES": "24",
                "PYTHONPATH": str(ROOT),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=writer if terminal else subprocess.DEVNULL,
            stderr=writer,
        )
        os.close(writer)
        shown = tuple((moment - started, text) for moment, text in chunks(reader, process))
        code = process.wait()
        return Watched(code, time.monotonic() - started, shown)


@contextmanager
def opened(terminal: bool) -> Iterator[tuple[int, int]]:
    """Open the two ends of a terminal, or of a pipe; who takes the one to write to closes it."""
    reader, writer = os.openpty() if terminal else os.pipe()
    if terminal:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        yield reader, writer
    finally:
        os.close(reader)


def chunks(reader: int, process: subprocess.Popen[bytes]) -> Iterator[tuple[float, str]]:
    """Yield each piece of text and the moment it came, until nobody is left who could write."""
    while True:
        ready, _, _ = select.select([reader], [], [], 1.0)
        if not ready:
            if process.poll() is not None:
                return
            continue
        try:
            data = os.read(reader, READ)
        except OSError:  # how Linux says that a terminal has no other end
            return
        if not data:
            return
        yield time.monotonic(), data.decode("utf-8", "replace")


def convnext_edge(*arguments: object) -> list[str]:
    """Return the call of our program with these arguments."""
    return [sys.executable, "-m", "convnext_edge", *map(str, arguments)]
