"""What the tests of the command line share: commands run in a folder of their own, and what they said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from convnext_edge import quiet
from convnext_edge.cli import main
from convnext_edge.progress import LOGGER

Run = Callable[..., Result]


def run(*arguments: object) -> Result:
    """An exception that the command line does not translate comes through, and fails the test."""
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@contextmanager
def commands_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Commands are run in `folder`; how they set up logging is put back afterwards."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(quiet, "_verbose", False)
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    levels = {
        name: logging.getLogger(name).level for name in ("root", "torch", "torchao", "nncf", "openvino")
    }
    yield run
    LOGGER.handlers[:], LOGGER.level, LOGGER.propagate = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def words(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


def said(done: Result) -> str:
    """Return what a command wrote to standard error, without line breaks."""
    return words(done.stderr)
