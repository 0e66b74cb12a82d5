"""What people see while a command works: notes and progress bars, all on standard error."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import TaskID

LOGGER = logging.getLogger("convnext_edge")
T = TypeVar("T")


def speaks() -> bool:
    """Tell whether this process may write to the user: of those that torchrun started, only the first."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0"


def note(message: str) -> None:
    """Tell the user something that is not an error; the command line shows it on standard error."""
    if speaks():
        LOGGER.info(message)


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
    """Progress bars by name, for work that reports its own steps; hidden where there is no terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        hidden = not (console.is_terminal and speaks())
        self.progress = Progress(
            *columns,
            console=console,
            transient=True,
            disable=hidden,
            redirect_stdout=False,  # which are the host's
            redirect_stderr=False,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.progress.stop()

    def start(self, name: str, total: int) -> None:
        """Show a bar of `total` steps."""
        self.tasks[name] = self.progress.add_task(name, total=total)

    def advance(self, name: str, steps: int = 1) -> None:
        """Move a bar forward."""
        self.progress.advance(self.tasks[name], steps)

    def describe(self, name: str, text: str) -> None:
        """Put `text` in place of the name before the bar."""
        self.progress.update(self.tasks[name], description=text)

    @property
    def hidden(self) -> bool:
        """Whether there is no terminal to show bars on."""
        return not self.progress.console.is_terminal

    def finish(self, name: str) -> None:
        """Remove a bar."""
        self.progress.remove_task(self.tasks.pop(name))
