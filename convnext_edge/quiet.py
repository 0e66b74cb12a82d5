"""Keeping the messages of libraries out of the terminal, unless the user asked for them.

Only the threads that are inside `quiet()` are silenced: a host goes on printing, logging and warning in its
other threads. What Python has for this, in its modules logging, warnings and contextlib,
silences all threads, and two of them that overlap leave the process silent for good.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO, cast

from convnext_edge.guest import ALONE, Shared, replaced, without_traces
from convnext_edge.progress import phase
from convnext_edge.usage_reports import no_usage_reports

# Of packages that take long to load, by their modules.
_NAMES = {
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "nncf": "NNCF",
    "ray": "Ray",
}
_verbose = False
_here = threading.local()  # `depth`: how many `quiet()` this thread is inside of


def be_verbose() -> None:
    """Show the warnings and logs of libraries from now on (the command line's -v)."""
    global _verbose
    _verbose = True


def is_verbose() -> bool:
    """Tell whether libraries may print, for those that log in their own way."""
    return _verbose


def is_quiet_here() -> bool:
    """Tell whether this thread is inside `quiet()`."""
    return getattr(_here, "depth", 0) > 0


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings, prints, and log messages below errors of this thread, in the code inside."""
    if _verbose:
        yield
        return
    with _silence.entered():
        _here.depth = getattr(_here, "depth", 0) + 1
        try:
            yield
        finally:
            _here.depth -= 1


@contextmanager
def importing(*reporting: str) -> Iterator[None]:
    """Silence the imports inside, and their reports; let no other thread import or trace meanwhile.

    reporting: those of the packages inside that would report their use to their makers.
    """
    package = next(iter(reporting), "torch")
    with ALONE, quiet(), no_usage_reports(reporting), _said_to_load(package):
        yield


@contextmanager
def _said_to_load(package: str) -> Iterator[None]:
    """Let the command line show that a package is loaded, where it is not yet."""
    if package in sys.modules:
        yield
        return
    with phase(f"loading {_NAMES[package]}"):
        yield


@contextmanager
def _silenced() -> Iterator[None]:
    with without_traces(), _muted_output(), _muted_warnings(), _muted_logs():
        yield


class _Output:
    """Standard output that loses what silenced threads write; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, or lose what a silenced thread prints."""
        return len(text) if is_quiet_here() else self.stream.write(text)

    def writelines(self, lines: Any) -> None:
        """Write, or lose what a silenced thread prints."""
        if not is_quiet_here():
            self.stream.writelines(lines)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def _muted_output() -> Iterator[None]:
    if sys.stdout is None:  # as in a program without a terminal on Windows
        yield
        return
    if not isinstance(sys.stdout, _Output):
        sys.stdout = cast(TextIO, _Output(sys.stdout))
    try:
        yield
    finally:
        # what a host put in its place meanwhile stays, and may bring ours back until we come again
        if isinstance(sys.stdout, _Output):
            sys.stdout = sys.stdout.stream


class _AnythingHere:
    """A pattern for the text of warnings: it matches whatever is said in a silenced thread."""

    def match(self, _text: str) -> bool:
        """Return whether this thread is silenced."""
        return is_quiet_here()


@contextmanager
def _muted_warnings() -> Iterator[None]:
    # `filterwarnings` takes only text as a pattern, and lets warnings that were shown once be shown again
    rule = ("ignore", _AnythingHere(), Warning, None, 0)
    changed = _filters()
    changed.insert(0, rule)
    with (
        replaced(warnings, "filterwarnings", _unless_quiet(warnings.filterwarnings)),
        replaced(warnings, "simplefilter", _unless_quiet(warnings.simplefilter)),
    ):
        try:
            yield
        finally:
            for rules in (changed, _filters()):  # `catch_warnings` of a host puts a copy in its place
                rules[:] = [found for found in rules if found is not rule]


def _unless_quiet(add: Callable[..., None]) -> Callable[..., None]:
    """Return what adds a filter, but none of a silenced thread: it would hold for the host, too."""

    def add_unless_quiet(*arguments: Any, **options: Any) -> None:
        if not is_quiet_here():
            add(*arguments, **options)

    return add_unless_quiet


def _filters() -> list[Any]:
    return cast(list[Any], warnings.filters)


@contextmanager
def _muted_logs() -> Iterator[None]:
    # a logger has no filter that holds for the loggers below it, which libraries make as they go
    usual = logging.Logger.handle

    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno > logging.WARNING or not is_quiet_here():
            usual(self, record)

    with replaced(logging.Logger, "handle", handle):
        yield


@contextmanager
def quiet_below() -> Iterator[None]:
    """Silence what native libraries write directly to the process's standard error, not through Python.

    The process has one standard error: what other threads write to it meanwhile is lost, too. So this is only
    for libraries that cannot be told to be quiet, and for as short as possible.
    """
    if _verbose:
        yield
        return
    with _silence_below.entered():
        yield


@contextmanager
def _no_standard_error() -> Iterator[None]:
    if sys.stderr is not None:
        sys.stderr.flush()
    with ExitStack() as stack:
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, kept)
        stack.callback(os.close, nowhere)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(kept, 2)


_silence, _silence_below = Shared(_silenced), Shared(_no_standard_error)
