"""Chatty libraries kept out of the terminal, unless the user asked to hear them."""

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
    """Let libraries' warnings and logs through from now on (the command line's -v)."""
    global _verbose
    _verbose = True


def is_verbose() -> bool:
    """Whether libraries may be heard; for those that log by a way of their own."""
    return _verbose


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, log lines below errors and prints of the code inside."""
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
    """Silence what native libraries write to the process's standard error, past Python."""
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
