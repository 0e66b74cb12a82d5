"""Keeping the messages of libraries out of the terminal, unless the user asked for them."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator

_verbose = False


def be_verbose() -> None:
    """Show the warnings and logs of libraries from now on (the command line's -v)."""
    global _verbose
    _verbose = True


def is_verbose() -> bool:
    """Tell whether libraries may print, for those that log in their own way."""
    return _verbose


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings, prints, and log messages below errors of the code inside."""
    if _verbose:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def quiet_below() -> Iterator[None]:
    """Silence what native libraries write directly to the process's standard error, not through Python."""
    if _verbose:
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
