"""Our end of a rival's process: it is started, asked, and ended whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from convnext_edge.reading import Count, DamagedError, Line, Shape, check, parse_json
from convnext_edge.rivals.rival import Given, Step

LONGEST = 300  # characters of what a rival says of its failure
MODULE = "convnext_edge.rivals.worker"
MOST = 2**20  # bytes of an answer
ENDING = 10.0  # seconds that a process may take to end when it has closed its output
Duration = Annotated[float, Field(ge=0, le=1e9)]
Q = TypeVar("Q", bound=Shape)


class RivalError(Exception):
    """Why a rival has no figures; it becomes what its row says."""


class Nothing(Shape):
    """The answer to what has none."""


class Made(Shape):
    """The file that a rival made."""

    path: str
    seconds: Duration


class Timed(Shape):
    """The times of one call, in milliseconds."""

    milliseconds: Annotated[float, Field(gt=0, le=1e9)]
    idle_cpu_ms: Duration  # of CPU in the pause behind it


class Version(Shape):
    """The version of a package."""

    version: Line


class Memory(Shape):
    """The peak of a process's physical memory."""

    peak_rss_bytes: Count | None


class Failure(Shape):
    """What a rival raised; None where all went well."""

    error: str | None = None


class RivalProcess:
    """A process of a rival's environment.

    folder: an empty one for what libraries print, and for files that they leave where they work. seconds:
    longest time that an answer may take.
    """

    def __init__(self, python: Path, folder: Path, seconds: float) -> None:
        self.log, self.seconds = folder / "log.txt", seconds
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                [str(python), "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                start_new_session=True,  # so that the compilers which it starts end with it
            )

    def make(self, step: Step, given: Given, folder: Path) -> Made:
        """Let it make a file."""
        return self._ask(
            Made,
            "make",
            step=step.function,
            options=dict(step.options),
            given=given.to_json(),
            folder=str(folder),
        )

    def load(self, step: Step, path: Path, threads: int) -> None:
        """Let it make a file ready to run."""
        options = dict(step.options)
        self._ask(Nothing, "load", step=step.function, options=options, path=str(path), threads=threads)

    def answer(self, images: Path, answers: Path) -> None:
        """Let it run images (.npy), and write its logits (.npy)."""
        self._ask(Nothing, "answer", images=str(images), answers=str(answers))

    def warm_up(self, image: Path) -> None:
        """Let it run the image (.npy) that is to be timed."""
        self._ask(Nothing, "warm_up", image=str(image))

    def time(self) -> Timed:
        """Let it time one call."""
        return self._ask(Timed, "time")

    def version(self, package: str) -> str:
        """Return the version of a package there."""
        return self._ask(Version, "version", package=package).version

    def memory(self) -> int | None:
        """Return the peak of its physical memory in bytes."""
        return self._ask(Memory, "memory").peak_rss_bytes

    def close(self) -> None:
        """End it, and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def _ask(self, shape: type[Q], what: str, **values: Any) -> Q:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"ask": what, **values}).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise self._ended() from None
        try:
            answer: dict[str, Any] = parse_json(self._line(what))
            check(answer, Failure)
            if answer.get("error") is not None:
                raise RivalError(shorten(answer["error"]))
            check(answer, shape)
        except DamagedError as error:
            raise RivalError(f"its process answers what this version does not know: {error}") from error
        return shape.model_validate(answer)

    def _line(self, what: str) -> bytes:
        """Return the next line of its output."""
        assert self.process.stdout is not None
        found, deadline = b"", time.monotonic() + self.seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not found.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise RivalError(f"to {what} took more than {self.seconds:.0f} s, and was stopped")
                more = os.read(self.process.stdout.fileno(), 2**16)
                if not more:
                    raise self._ended()
                found += more
                if len(found) > MOST:
                    raise RivalError(f"to {what} it answered with more than {MOST} bytes")
        return found

    def _ended(self) -> RivalError:
        try:
            code = self.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            return RivalError("its process closed its output, and went on")
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        with contextlib.suppress(ValueError):  # Python has no name for those that are real-time
            how = f"by {signal.Signals(-code).name}"
        said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return RivalError(shorten(f"its process ended {how}: {said[-1] if said else 'it said nothing'}"))


def shorten(text: str) -> str:
    """Return the lines of a message as one, which does not fill a page."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 2]} …"


@contextmanager
def started(python: Path, folder: Path, seconds: float) -> Iterator[RivalProcess]:
    """Start a rival's process, and end it behind the block; raise RivalError where it does not start."""
    try:
        process = RivalProcess(python, folder, seconds)
    except OSError as error:
        raise RivalError(f"{python} cannot be started: {error.strerror}") from error
    try:
        yield process
    finally:
        process.close()
