"""Ctrl-C and SIGTERM: the work is undone, one line is said, and the process ends without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_begun = False
_received: list[int] = []  # numbers of the signals, the first of which ends the process


def listen() -> None:
    """Let the first signal raise KeyboardInterrupt inside of `undoing`; a second one kills."""
    _handle(_interrupt)


@contextmanager
def undoing() -> Iterator[None]:
    """Let a signal undo what was begun inside; outside there is nothing to undo, and it kills at once."""
    global _begun
    _begun = True
    try:
        yield
    finally:
        _begun = False


def kill_at_once() -> None:
    """Let signals kill at once, where nothing is begun that would have to be undone."""
    _handle(signal.SIG_DFL)


def received() -> bool:
    """Tell whether a signal has come."""
    return bool(_received)


def end() -> NoReturn:
    """Say which signal ended the work, and exit with the code that shells give it: 128 and its number."""
    number = signal.Signals(_received[0] if _received else signal.SIGINT)
    what = "Ctrl-C" if number is signal.SIGINT else number.name
    click.echo(f"Stopped by {what}.", err=True)
    sys.exit(128 + number)


def _handle(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` wants it
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    kill_at_once()
    if not _begun:
        os.kill(os.getpid(), number)
    _received.append(number)
    raise KeyboardInterrupt
