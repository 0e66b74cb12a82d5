"""Images in a folder, and which files are hidden."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from convnext_edge.errors import ImageSetError

# ILSVRC/Data/CLS-LOC/val/n01440764/ is the deepest usual path. The bound also ends loops of links.
MAX_DEPTH = 6


def is_hidden(name: str) -> bool:
    """Tell whether a file is hidden, such as those that only the operating system uses."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


class FolderStorage:
    """The files below a folder; links are followed, because data sets often consist of links."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = tuple(sorted(_walk(path)))

    def read(self, name: str) -> bytes:
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            raise ImageSetError(f"{self._path / name} cannot be read: {error.strerror}") from error


def _walk(root: Path) -> Iterator[str]:
    for folder, subfolders, files in os.walk(root, followlinks=True):
        relative = Path(folder).relative_to(root)
        too_deep = len(relative.parts) >= MAX_DEPTH
        subfolders[:] = [] if too_deep else [name for name in subfolders if not is_hidden(name)]
        yield from ((relative / name).as_posix() for name in files if not is_hidden(name))
