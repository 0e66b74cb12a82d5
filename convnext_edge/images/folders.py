"""Images in a folder, and which files are hidden."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from convnext_edge.errors import ImageSetError

MAX_DEPTH = 16  # ILSVRC/Data/CLS-LOC/val/n01440764/ is the deepest usual path


def is_hidden(name: str) -> bool:
    """Tell whether a file is hidden, such as those that only the operating system uses."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


class FolderStorage:
    """The files below a folder; links are followed, because data sets often consist of links."""

    def __init__(self, path: Path, parts: Iterable[str] = ("",)) -> None:
        """Look at the files below `path`, or below these parts of it, with a slash behind each."""
        self._path = path
        self.names = tuple(sorted(part + name for part in parts for name in _walk(path / part)))

    def read(self, name: str) -> bytes:
        path = self._path / name
        try:
            if path.exists() and not path.is_file():  # opening a pipe would wait for ever
                raise ImageSetError(f"{path} is no regular file")
            return path.read_bytes()
        except OSError as error:
            raise ImageSetError(f"{self._path / name} cannot be read: {error.strerror}") from error


def _walk(root: Path) -> Iterator[str]:
    for folder, subfolders, files in os.walk(root, followlinks=True):
        relative = Path(folder).relative_to(root)
        subfolders[:] = [
            name for name in subfolders if not is_hidden(name) and not _is_loop(Path(folder, name))
        ]
        if subfolders and len(relative.parts) >= MAX_DEPTH:
            raise ImageSetError(
                f"{root} has folders more than {MAX_DEPTH} deep, such as {relative / subfolders[0]}",
                hint="Give the folder further down that holds the images.",
            )
        yield from ((relative / name).as_posix() for name in files if not is_hidden(name))


def _is_loop(folder: Path) -> bool:
    """Tell whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
