"""Paths as people give them: as a `str` or as a `Path`."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TypeAlias, overload

AnyPath: TypeAlias = str | PathLike[str]


@overload
def as_path(path: AnyPath) -> Path: ...
@overload
def as_path(path: AnyPath | None) -> Path | None: ...
def as_path(path: AnyPath | None) -> Path | None:
    """Return `path` as a `Path`; None, which means "not given", stays None."""
    return None if path is None else Path(path)
