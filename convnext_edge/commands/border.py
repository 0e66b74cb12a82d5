"""The border between a command and whoever calls it: paths are checked, and the system's errors explained."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import ParamSpec, TypeVar, get_args

from convnext_edge.artifacts.files import refuse_link
from convnext_edge.errors import ConvNeXtEdgeError, UsageError
from convnext_edge.reading import shown

P = ParamSpec("P")
R = TypeVar("R")
WRITTEN = "output"  # the parameter of all commands for the file or folder to write
NAMED = (
    WRITTEN,
    "checkpoint",
)  # whose names are checked where other names are made of them: artifacts/names.py


def guard(function: Callable[P, R], paths: Mapping[str, str]) -> Callable[P, R]:
    """Return the function with its paths checked, and with errors of the file system made errors for people.

    paths: what a user types for each parameter that takes a path, as `-o`, by the parameter's name.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def guarded(*positional: P.args, **named: P.kwargs) -> R:
        try:
            given = signature.bind_partial(*positional, **named).arguments
        except TypeError:  # which calling the function says better
            given = {}
        for name in paths.keys() & given.keys():
            check_path(given[name], paths[name], written=name == WRITTEN, named=name in NAMED)
        try:
            return function(*positional, **named)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise refused(error) from error

    return guarded


def takes_path(annotation: object) -> bool:
    """Return whether a parameter of this type takes a path."""
    return any(kind == PathLike[str] for kind in get_args(annotation))


def check_path(value: object, option: str, *, written: bool = False, named: bool = False) -> None:
    """Raise UsageError for a path that no file can have, or that the libraries behind us cannot open.

    option: what the user typed before it. written: whether a file or folder is made there. named: whether the
    last part is checked elsewhere.
    """
    if not isinstance(value, str | PathLike):
        return
    text = os.fspath(value)
    if not text or "\0" in text:
        raise UsageError(f"{option} {shown(text)} is no path", hint="Name a file or a folder.")
    try:
        str(Path(text).parent if named else text).encode("utf-8")
    except UnicodeEncodeError as error:  # bytes that are no UTF-8, as the system hands them to Python
        raise UsageError(
            f"{option} {shown(as_bytes(text))} is not UTF-8, which ONNX and the runtimes want of a path",
            hint="Rename it, or make a link to it that has a plain name.",
        ) from error
    if written and Path(text).name in ("", ".."):
        raise UsageError(
            f"{option} {text} names a folder that is there already, not what to write",
            hint=f"Add a name: {option} {Path(text) / 'NAME'}.",
        )
    if written:
        refuse_link(Path(text))  # before the work


def as_bytes(text: str) -> bytes | str:
    """Return a path as the system has it, or as it is where no system has it."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text


def refused(error: OSError) -> ConvNeXtEdgeError:
    """Return the error that a person is shown where the system refuses a file."""
    reason = error.strerror or str(error) or type(error).__name__
    where = "" if error.filename is None else f"{error.filename} cannot be used: "
    return ConvNeXtEdgeError(f"{where}{reason}", hint="Check the path, and who may read and write there.")
