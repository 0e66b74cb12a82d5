"""What an image set is made of: named images, and their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from convnext_edge.parallel import default_workers, ordered_map

UNLABELLED = -1
COLUMNS = "columns"  # of a table, whose order numbers the classes
ClassOrder = Literal["natural", "text"]  # of the names of class folders: 2 before 10, or after it


@dataclass(frozen=True)
class Truth:
    """An object in a picture, as people marked it."""

    label: int  # of its class: the number in the file, or that of a model
    box: tuple[float, ...]  # left, top, width and height in pixels
    area: float  # of the object, in pixels
    crowd: bool  # whether it stands for many
    mask: str  # as JSON: polygons or run lengths; empty where there is none


@dataclass(frozen=True)
class Entry:
    """One image of a set, without its bytes: its name and its label."""

    name: str  # within the set
    label: int = UNLABELLED  # class, 0-based; -1 where unlabelled
    # All classes, of a set whose images may have several or none; `label` is -1 there.
    labels: tuple[int, ...] | None = None
    label_map: str | None = None  # the name of the picture that holds the class of each pixel
    objects: tuple[Truth, ...] | None = None  # of a set that tells objects
    number: int = 0  # of the picture in such a set
    size: tuple[int, int] | None = None  # width and height of the picture that the objects lie in

    @property
    def label_text(self) -> str:
        """The label, the labels, or the name of the label map as text."""
        if self.label_map is not None:
            return self.label_map
        if self.objects is not None:
            return hashlib.sha256(repr(self.objects).encode()).hexdigest()
        return str(self.label) if self.labels is None else "+".join(map(str, self.labels))


class Storage(Protocol):
    """A folder, an archive or a table that holds files."""

    @property
    def names(self) -> Sequence[str]:
        """Relative names of all members, with `/` between folders; no hidden ones."""

    def read(self, name: str) -> bytes:
        """Return the bytes of one member; safe to call from several threads.

        Raises ImageSetError where the member cannot be read.
        """


class Contents:
    """The bytes of the images of a set, and their SHA-256, which is computed once for each image.

    A set and its subsets share one `Contents`, so that no image is hashed twice.
    """

    def __init__(self, storage: Storage, prefix: str = "") -> None:
        """Take the images from the folder `prefix` of `storage`.

        prefix: the folder, with a trailing slash, that the names of the images are relative to.
        """
        self._storage = storage
        self._prefix = prefix
        self._hashes: dict[str, str] = {}

    def read(self, name: str) -> bytes:
        return self._storage.read(self._prefix + name)

    def sha256(self, names: Sequence[str]) -> list[str]:
        """Return the SHA-256 of each of the named images, in hexadecimal."""
        workers = default_workers()
        missing = [name for name in names if name not in self._hashes]
        digests = ordered_map(self._hash, missing, workers=workers, look_ahead=4 * workers)
        self._hashes.update(zip(missing, digests, strict=True))
        return [self._hashes[name] for name in names]

    def _hash(self, name: str) -> str:
        return hashlib.sha256(self.read(name)).hexdigest()
