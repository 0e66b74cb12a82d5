"""How a step of a cell ended: with its result, or with the reason why there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from convnext_edge.errors import ConvNeXtEdgeError, UsageError
from convnext_edge.guest import at_level, replaced
from convnext_edge.progress import LOGGER

T = TypeVar("T")
LONGEST = 1000  # characters of a reason


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a step returned, or why it failed; errors themselves lose their parts between processes."""

    value: T | None = None
    failed: str | None = None
    hint: str = ""
    wrong_usage: bool = False
    notes: tuple[str, ...] = ()  # that it said, in another process

    @property
    def got(self) -> T:
        """The value; raise the error where there is none."""
        if self.value is None:
            raise self.error
        return self.value

    @property
    def reason(self) -> str:
        """Why it failed and what helps, on one line."""
        return "; ".join(filter(None, (self.error.message, self.hint))).rstrip(".")

    @property
    def error(self) -> ConvNeXtEdgeError:
        """The error that tells the reason."""
        kind = UsageError if self.wrong_usage else ConvNeXtEdgeError
        return kind(self.failed or "nothing was returned", hint=self.hint)


def attempt(step: Callable[..., T], *arguments: object) -> Outcome[T]:
    """Return how a step ended, whatever it raises: a cell that fails is not the end of the others."""
    try:
        return Outcome(step(*arguments))
    except ConvNeXtEdgeError as error:
        return Outcome(
            failed=error.message[:LONGEST], hint=error.hint, wrong_usage=isinstance(error, UsageError)
        )
    except Exception as error:  # a vendor's, or a fault of ours, which -v shows
        LOGGER.debug("", exc_info=error)
        return Outcome(failed=f"{type(error).__name__}: {error}"[:LONGEST])


def attempt_there(threads: int, step: Callable[..., T], *arguments: object) -> Outcome[T]:
    """Return how a step ended in another process, with the notes that it said there.

    threads: of PyTorch, for the whole process. arguments: an `Outcome` stands for its value; where it has
    none, the step fails as that one did.
    """
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    notes = Notes()
    LOGGER.addHandler(notes)
    try:
        with at_level(LOGGER, logging.INFO), replaced(LOGGER, "propagate", False):
            found = attempt(on_values, step, *arguments)
    finally:
        LOGGER.removeHandler(notes)
    return Outcome(found.value, found.failed, found.hint, found.wrong_usage, tuple(notes.said))


def on_values(step: Callable[..., T], *arguments: object) -> T:
    """Do a step with the values of outcomes."""
    return step(*(each.got if isinstance(each, Outcome) else each for each in arguments))


class Notes(logging.Handler):
    """Collects what a step says."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a note."""
        self.said.append(record.getMessage())
