"""Small text files near the images, which may hold their labels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from convnext_edge.errors import ImageSetError
from convnext_edge.images.contents import Storage
from convnext_edge.images.texts import SAVE_AS, decode_leniently, decode_text

TABLES = (".csv", ".tsv")
SUFFIXES = (".txt", ".mat", *TABLES)
MAX_BYTES = 2**24  # labels of 50,000 images with their boxes take 3 MiB
SEPARATORS = re.compile(r"[\s,]+")


@dataclass(frozen=True)
class Companion:
    """A file near the images that may hold their labels."""

    path: str  # for messages: where a person finds the file, inside an archive too
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.path).parent)

    def rows(self) -> list[list[str]]:
        """Return the words of each line that is not empty; no lines for one of MATLAB's files."""
        if self.name.endswith(".mat"):
            return []
        data = self.read()
        try:
            text = decode_text(data)
        except ValueError:
            text = decode_leniently(data)  # whoever goes by these words calls `check_encoding` first
        return [SEPARATORS.split(line.strip()) for line in text.splitlines() if line.strip()]

    def check_encoding(self) -> None:
        """Raise ImageSetError for a text in an encoding that is not read: see `decode_text`.

        Files that say nothing of the images may be in any.
        """
        if self.name.endswith(".mat"):
            return
        try:
            decode_text(self.read())
        except ValueError as error:
            raise ImageSetError(f"{self.path} cannot be read as text: {error}", hint=SAVE_AS) from error


def beside(storage: Storage, prefix: str, path: Path) -> list[Companion]:
    """Return the text files in the folder `prefix` of `storage`, which holds the images or class folders."""
    return [c for name, c in _inside(storage, path) if _folder(name) == prefix]


def above(storage: Storage, prefix: str, path: Path) -> list[Companion]:
    """Return the text files further up, the nearest first.

    They are those in the folders that contain `prefix`, and in those that contain `path`. ImageNet's devkit
    may be in any of these folders.
    """
    inside = [
        (name, companion)
        for name, companion in _inside(storage, path)
        if _contains(_folder(name), prefix) or "devkit" in _folder(name)
    ]
    nearest_first = sorted(inside, key=lambda item: -item[0].count("/"))
    return [companion for _, companion in nearest_first] + list(_around(path.absolute()))


def tables_above(storage: Storage, prefix: str, path: Path) -> list[Companion]:
    """Return the tables (CSV) in folders of `storage` that contain `prefix`, the nearest first."""
    inside = [
        (name, companion)
        for name, companion in _inside(storage, path)
        if name.lower().endswith(TABLES) and _contains(_folder(name), prefix)
    ]
    return [companion for _, companion in sorted(inside, key=lambda item: -item[0].count("/"))]


def tables_beside(path: Path) -> list[Companion]:
    """Return the tables (CSV) beside `path` itself."""
    return [table for table in _texts(path.absolute().parent) if table.name.lower().endswith(TABLES)]


def _contains(folder: str, other: str) -> bool:
    return folder != other and other.startswith(folder)


def _inside(storage: Storage, path: Path) -> Iterator[tuple[str, Companion]]:
    for name in storage.names:
        if name.lower().endswith(SUFFIXES):
            yield name, Companion(f"{path.as_posix()}/{name}", partial(storage.read, name))


def _around(path: Path) -> Iterator[Companion]:
    # Three more levels up for Kaggle: LOC_val_solution.csv is beside ILSVRC/, the images are in
    # ILSVRC/Data/CLS-LOC/val/.
    for folder in path.parents[:4]:
        for devkit in (folder, *sorted(folder.glob("*devkit*")), *sorted(folder.glob("*devkit*/data"))):
            yield from _texts(devkit)


def _texts(folder: Path) -> Iterator[Companion]:
    for file in sorted(folder.glob("*")):
        small_text = file.suffix.lower() in SUFFIXES and file.is_file() and os.access(file, os.R_OK)
        if small_text and file.stat().st_size <= MAX_BYTES:
            yield Companion(file.as_posix(), file.read_bytes)


def _folder(name: str) -> str:
    """Return the folder of a member, with a trailing slash; empty at the top."""
    return name[: name.rfind("/") + 1]
