"""Scratch folders, which are removed when the work is done, or by the next command if the work was killed.

Each is locked by its process while it lives; one that nobody locks was left behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convnext_edge.artifacts.locks import closed, opened, try_lock


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder in `parent` that is removed at the end, with what is in it."""
    folder, handle = _make(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            closed(handle)


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the scratch folders in `parent` whose processes are gone, as far as the system lets us."""
    try:
        found = [name for name in os.listdir(parent) if name.startswith(prefix)]  # noqa: PTH208  quicker
    except OSError:
        return
    for name in found:
        handle, locked = _open_and_lock(parent / name)
        if locked:  # where nothing can be locked, nobody can tell
            shutil.rmtree(parent / name, ignore_errors=True)
        if handle is not None:
            closed(handle)


def _make(parent: Path, prefix: str) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        handle, locked = _open_and_lock(folder)
        # between the two calls above, another process may have taken the folder for an abandoned one
        if locked is not False and folder.is_dir():
            return folder, handle
        if handle is not None:
            closed(handle)


def _open_and_lock(folder: Path) -> tuple[int | None, bool | None]:
    """Return the handle that locks a folder, and what `try_lock` says; no handle where none can be had."""
    if os.name == "nt":
        return None, None
    try:
        handle = opened(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # another's, gone, or no folder
        return None, None
    return handle, try_lock(handle)
