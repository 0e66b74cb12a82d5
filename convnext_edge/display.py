"""What the command line shows while a command works: one live line on a terminal, lines of a log elsewhere.

Nothing is silent for long: whoever waits sees what is done, and for how long. On a terminal, one line below
all others has a spinner, the step and its seconds, and below it is a bar for each step that is counted.
Elsewhere, as in CI, the first step is named at once, any other where it lasts for LONG seconds, and after
SILENCE seconds without a line comes one that says how far the step is.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STARTING, WORKING = "starting", "working"  # before the first step, and between others
LONG = 2.0
SILENCE = 10.0
TICK = 0.5  # seconds
FRAMES = 5  # a second
SPINNER = 3  # columns, with what follows it
ERASE_LINE = "\x1b[2K"  # ECMA-48


@dataclass(eq=False)
class Step:
    """A stretch of work."""

    text: str  # what is done
    total: int | None = None  # parts of it, where they are counted
    done: int = 0  # of those
    begun: float = field(default_factory=lambda: time.monotonic())
    told: bool = False  # whether a log has a line of it

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.begun

    @property
    def left(self) -> float | None:
        """The seconds that it will still take, as fast as it was so far; None before anything is done."""
        return self.seconds / self.done * ((self.total or 0) - self.done) if self.done else None

    def __str__(self) -> str:
        return self.text if self.total is None else f"{self.text}, {self.done} of {self.total}"


class Display(ABC):
    """What is shown of one command."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.doing = Step(STARTING)  # where no step is named
        self.steps: list[Step] = []  # the innermost one behind

    @property
    def current(self) -> Step:
        """The step that is named."""
        return next(reversed(self.steps), self.doing)

    def begin(self, step: Step) -> None:
        """Name a step until `end`."""
        self.steps.append(step)

    def end(self, step: Step) -> None:
        """Go back to the step before."""
        self.steps.remove(step)
        if self.doing.text == STARTING and not self.steps:
            self.doing = Step(WORKING, told=self.doing.told)

    def moved(self) -> None:  # noqa: B027  # most look at the steps by themselves
        """Take note that a step is farther than it was."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a text that stays."""

    @abstractmethod
    def running(self) -> AbstractContextManager[None]:
        """Show the steps, until the context is left."""


class Lines(Display):
    """A log: each text is a line."""

    def __init__(self, command: str, stream: TextIO) -> None:
        super().__init__(command)
        self.stream = stream
        self.spoken = time.monotonic()  # when the last line was written
        self.over = threading.Event()

    def say(self, text: str) -> None:
        """Write a line."""
        self.spoken = time.monotonic()
        with suppress(OSError):  # nobody reads any more: no reason to stop the work
            self.stream.write(f"{text}\n")
            self.stream.flush()

    def begin(self, step: Step) -> None:
        """Name a step until `end`; the first one of a command at once."""
        super().begin(step)
        if not self.doing.told:
            self.doing.told = step.told = True
            self.say(f"{self.command}: {step}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look at the steps from a thread."""
        watcher = threading.Thread(target=self.watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self.over.set()
            watcher.join()

    def watch(self) -> None:
        """Look at the steps until all is over."""
        while not self.over.wait(TICK):
            self.look()

    def look(self) -> None:
        """Write the line that is due now, if any is."""
        step = self.current
        if not step.told and step is not self.doing and step.seconds > LONG:
            step.told = True
            self.say(f"{self.command}: {step}")
        elif time.monotonic() - self.spoken > SILENCE:
            step.told = True
            self.say(f"{self.command}: {step}, {step.seconds:.0f} s")


class Live(Display):
    """A terminal: what is done now, below all that was said."""

    def __init__(self, command: str, stream: TextIO) -> None:
        super().__init__(command)
        if command:
            stream.write(f"{command}: {self.doing}\r")  # before what loads for a while
            stream.flush()
        from rich.live import Live as RichLive
        from rich.spinner import Spinner

        stream.write(ERASE_LINE)
        self.spinner = Spinner("dots" if "utf" in (stream.encoding or "").lower() else "line")
        self.console = console(stream)
        self.live = RichLive(
            get_renderable=self.render,
            console=self.console,
            transient=True,
            refresh_per_second=FRAMES,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def say(self, text: str) -> None:
        """Show a text above the line that lives."""
        self.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the line alive."""
        with self.live:
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to others."""
        self.live.stop()
        try:
            yield
        finally:
            self.live.start()

    def render(self) -> RenderableType:
        """Return the line of the innermost step that is not counted, and a bar for each that is.

        Without a command, there are bars alone.
        """
        from rich.console import Group
        from rich.text import Text

        steps = list(self.steps)
        counted = [step for step in steps if step.total is not None]
        if not self.command:
            return bars(counted)
        plain = next((step for step in reversed(steps) if step.total is None), self.doing)
        seconds = f"  {plain.seconds:.0f} s"
        line = Text(f"{self.command}: {plain.text}")
        line.truncate(self.console.width - len(seconds) - SPINNER, overflow="ellipsis")
        self.spinner.update(text=line.append(seconds))
        return Group(self.spinner, *([bars(counted)] if counted else []))


def bars(steps: list[Step]) -> RenderableType:
    """Return a line for each counted step: its text, a bar, how many are done, and the seconds left."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    for step in steps:
        total = step.total or 0
        left = "" if step.left is None else f"{step.left:.0f} s left"
        bar = ProgressBar(total, step.done, width=24)
        grid.add_row(f"  {step.text}", bar, f"{step.done}/{total}", left)
    return grid


def console(stream: TextIO) -> Console:
    """Return a console for a terminal, which leaves the cursor visible: a process that is killed cannot."""
    from rich.console import Console

    class VisibleCursor(Console):
        def show_cursor(self, show: bool = True) -> bool:
            return show

    return VisibleCursor(file=stream, force_terminal=True)


def is_terminal(stream: TextIO) -> bool:
    """Return whether a line on this stream can be written over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"
