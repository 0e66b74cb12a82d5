"""What people see while a command works: notes, steps and progress bars, all on standard error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self, TextIO, TypeVar

from convnext_edge.display import Display, Lines, Live, Step, is_terminal
from convnext_edge.notebook import Cell, in_notebook

LOGGER = logging.getLogger("convnext_edge")
T = TypeVar("T")
_display: Display | None = None  # of the command line, while a command runs


def speaks() -> bool:
    """Tell whether this process may write to the user: of those that torchrun started, only the first."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0"


def note(message: str) -> None:
    """Tell the user something that is not an error; the command line shows it on standard error."""
    if speaks():
        LOGGER.info(message)


def doing(message: str) -> None:
    """Tell the user what is done from now on, where no `phase` says it more exactly."""
    note(message)
    if _display is not None:
        _display.doing = Step(message, told=True)


@contextmanager
def phase(text: str) -> Iterator[None]:
    """Let the command line show what is done inside. text: as `calibrating`."""
    if _display is None:
        yield
        return
    step = Step(text)
    _display.begin(step)
    try:
        yield
    finally:
        _display.end(step)


@contextmanager
def handed_over() -> Iterator[None]:
    """Leave the terminal to a library that shows a progress bar of its own."""
    if not isinstance(_display, Live):
        yield
        return
    with _display.paused():
        yield


@contextmanager
def shown(command: str, *, plain: bool = False) -> Iterator[None]:
    """Show on standard error what a command does inside: the command line's, and no library's, business.

    plain: write lines on a terminal, too, as libraries write there.
    """
    global _display
    with standard_error() as stream:
        if stream is None or not speaks():
            yield
            return
        _display = Live(command, stream) if is_terminal(stream) and not plain else Lines(command, stream)
        try:
            with _display.running():
                yield
        finally:
            _display = None


def say(text: str) -> None:
    """Show a text that stays, above what is shown of the work."""
    if _display is not None:
        _display.say(text)
    elif sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


@contextmanager
def standard_error() -> Iterator[TextIO | None]:
    """Yield a stream to standard error as it is now, whatever takes its place meanwhile; None without one."""
    with ExitStack() as stack:
        try:
            number = os.dup(sys.stderr.fileno())
        except (AttributeError, OSError, ValueError):  # there is none, or it is a stream of Python's
            yield sys.stderr
            return
        encoding = sys.stderr.encoding
        yield stack.enter_context(os.fdopen(number, "w", encoding=encoding, errors="backslashreplace"))


def track(items: Iterable[T], description: str, *, total: int, step: int = 1) -> Iterator[T]:
    """Yield the items, while a progress bar shows `step` of `total` more for each.

    There is no bar where there is no terminal.
    """
    with Bars() as bars:
        bars.start(description, total)
        for item in items:
            yield item
            bars.advance(description, min(step, total))


class Bars:
    """Progress bars by name, for work that reports its own steps; where there is no terminal, a log has them.

    In a program of Python's, which shows nothing else of us, they are shown on a terminal and in a notebook.
    """

    def __init__(self) -> None:
        self.display = _display
        self.alone = ExitStack()  # holds what is shown where no command line shows anything
        self.shown: dict[str, Step] = {}

    def __enter__(self) -> Self:
        if self.display is None and sys.stderr is not None and speaks():
            self.display = alone(sys.stderr)
        if self.display is not None and self.display is not _display:
            self.alone.enter_context(self.display.running())
            self.display.steps += self.shown.values()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in list(self.shown):
            self.finish(name)
        self.alone.close()

    def start(self, name: str, total: int) -> None:
        """Show a bar of `total` steps."""
        step = self.shown[name] = Step(name, total)
        if self.display is not None:
            self.display.begin(step)

    def advance(self, name: str, steps: int = 1) -> None:
        """Move a bar forward."""
        step = self.shown[name]
        step.done = min(step.done + steps, step.total or 0)
        if self.display is not None:
            self.display.moved()

    def describe(self, name: str, text: str) -> None:
        """Put `text` in place of the name before the bar."""
        self.shown[name].text = text

    @property
    def hidden(self) -> bool:
        """Whether there is nothing to show bars on."""
        return not isinstance(self.display, Live | Cell)

    def finish(self, name: str) -> None:
        """Remove a bar."""
        step = self.shown.pop(name)
        if self.display is not None:
            self.display.end(step)


def alone(stream: TextIO) -> Display | None:
    """Return what shows bars in a program of Python's; None where nothing can."""
    if in_notebook():
        return Cell()
    return Live("", stream) if is_terminal(stream) else None
