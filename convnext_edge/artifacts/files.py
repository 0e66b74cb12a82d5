"""Files and folders that are complete or absent at any moment: the one way to write here.

What is written is made in a scratch folder beside its place, synced to the disk, and moved. A process that
is killed leaves at most its scratch folder, whose name begins with SCRATCH and the number of the process.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from convnext_edge.errors import ArtifactError

SCRATCH = ".writing-"
Made = TypeVar("Made")


def write_whole(path: Path, make: Callable[[Path], Made], *, last: str = "") -> Made:
    """Let `make` make a file or folder and companions beside it, then move all of them into place.

    make: gets a path in a scratch folder, with the name of `path`; what it returns is returned.
    last: name of the companion that vouches for the others. It is moved after them, and an older one is
    taken away before.
    Raises ArtifactError where the system does not let us write; nothing half-written stays behind.
    """
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{SCRATCH}{os.getpid()}-") as scratch:
            returned = make(Path(scratch) / path.name)
            made = sorted(Path(scratch).iterdir(), key=lambda item: (item.name == last, item.name))
            for item in made:
                _sync(item)
            if last:
                (folder / last).unlink(missing_ok=True)
            for item in made:
                item.replace(folder / item.name)
            _sync_one(folder)
    except OSError as error:
        raise cannot_write(path, error) from error
    return returned


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is complete or absent at any moment; raise ArtifactError where that fails."""
    write_whole(path, lambda file: file.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text with plain line ends, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def cannot_write(path: Path, error: OSError) -> ArtifactError:
    """Return the error that a person is shown; it tells the space on the disk where that may be the cause."""
    if isinstance(error, shutil.Error):  # of a whole folder: one line a file, and one tells enough
        reason = re.sub(r"^\[Errno \d+\] (.*?): .*", r"\1", str(error.args[0][0][-1]))
    else:
        reason = error.strerror or str(error)
    hint = "choose another folder with -o or --workspace."
    if error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        hint = f"{folder} has {shutil.disk_usage(folder).free / 2**20:.0f} MiB free; {hint}"
    return ArtifactError(f"cannot write {path}: {reason}", hint=hint[0].upper() + hint[1:])


def _sync(path: Path) -> None:
    """Let the disk hold a file, or a folder with all that is in it."""
    for item in [*(path.rglob("*") if path.is_dir() else ()), path]:
        _sync_one(item)


def _sync_one(path: Path) -> None:
    """Let the disk hold a file, or the list of names of a folder where the system allows it."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
