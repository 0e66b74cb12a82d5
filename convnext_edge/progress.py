"""What a person is told while work goes on: notes and progress bars, all on standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TypeVar

LOGGER = logging.getLogger("convnext_edge")
T = TypeVar("T")


def note(message: str) -> None:
    """Something worth knowing that is no error; the command line shows it on standard error."""
    LOGGER.info(message)


def track(items: Iterable[T], description: str, *, total: int, step: int = 1) -> Iterator[T]:
    """Yield the items behind a progress bar of `total`, `step` for each; nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task, min(step, total))
