"""Images in .zip and .tar archives, which are read in place: nothing is extracted to disk."""

from __future__ import annotations

import posixpath
import tarfile
import threading
import zipfile
import zlib
from pathlib import Path, PureWindowsPath
from typing import TypeVar

from convnext_edge.errors import ImageSetError
from convnext_edge.images.folders import is_hidden

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar",)
COMPRESSED_TAR_SUFFIXES = (".tar.gz", ".tgz")

Member = TypeVar("Member")

MAX_MEMBER_BYTES = 2**28  # no photograph comes near 256 MiB; a zip bomb passes it at once
MAX_COMPRESSED_TAR_BYTES = 2**31  # held in memory, so 2 GiB

DAMAGED = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class ZipStorage:
    """The members of a .zip archive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # ZipFile counts its readers without a lock of its own.
        self._lock = threading.Lock()
        try:
            self._zip = zipfile.ZipFile(path)
        except DAMAGED as error:
            raise _damaged(path, error) from error
        self._members = _index(path, {i.filename: i for i in self._zip.infolist() if not i.is_dir()})
        self.names = tuple(sorted(self._members))
        self._refuse_encrypted()

    def _refuse_encrypted(self) -> None:
        for name, info in self._members.items():
            if info.flag_bits & 1:  # bit 0 of the general purpose flags: encrypted
                raise ImageSetError(
                    f"{self._path} is encrypted (member {name})",
                    hint="Unpack it and give the folder instead.",
                )

    def read(self, name: str) -> bytes:
        info = self._members[name]
        if info.file_size > MAX_MEMBER_BYTES:
            raise ImageSetError(f"{name} unpacks to {info.file_size} bytes, more than {MAX_MEMBER_BYTES}")
        try:
            with self._lock:
                return self._zip.read(info)
        except DAMAGED as error:
            raise ImageSetError(f"{name} is damaged in {self._path}: {error}") from error


class TarStorage:
    """The members of an uncompressed .tar archive, each read at its offset in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path, "r:") as archive:
                found = {m.name: (m.offset_data, m.size) for m in archive if m.isreg()}
        except DAMAGED as error:
            raise _damaged(path, error) from error
        self._members = _index(path, found)
        self.names = tuple(sorted(self._members))

    def read(self, name: str) -> bytes:
        offset, size = self._members[name]
        try:
            # A handle of its own for each read: no position to share between threads.
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise ImageSetError(f"{self._path} cannot be read: {error.strerror}") from error


class CompressedTarStorage:
    """The members of a .tar.gz archive, held in memory: a gzip stream can only be read from its start."""

    def __init__(self, path: Path) -> None:
        try:
            with tarfile.open(path, "r:gz") as archive:
                self._members = _index(path, _read_all(path, archive))
        except DAMAGED as error:
            raise _damaged(path, error) from error
        self.names = tuple(sorted(self._members))

    def read(self, name: str) -> bytes:
        return self._members[name]


def _read_all(path: Path, archive: tarfile.TarFile) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    total = 0
    for member in archive:
        total += member.size
        if total > MAX_COMPRESSED_TAR_BYTES:
            raise ImageSetError(
                f"{path} unpacks to more than {MAX_COMPRESSED_TAR_BYTES} bytes",
                hint="Images hardly compress. Give an uncompressed .tar, a .zip or a folder.",
            )
        file = archive.extractfile(member) if member.isreg() else None
        if file is not None:
            contents[member.name] = file.read()
    return contents


def _index(path: Path, members: dict[str, Member]) -> dict[str, Member]:
    """Return the members by their plain relative names, without the hidden ones."""
    index = {_plain(path, name): member for name, member in members.items()}
    return {name: member for name, member in index.items() if not is_hidden(name)}


def _plain(path: Path, name: str) -> str:
    plain = posixpath.normpath(name)
    if plain.startswith(("/", "../")) or plain == ".." or PureWindowsPath(plain).drive:
        raise ImageSetError(
            f"{path} has a member that points outside of the archive: {name}",
            hint="Such an archive is not safe to use. Get it again from its source.",
        )
    return plain


def _damaged(path: Path, error: Exception) -> ImageSetError:
    return ImageSetError(
        f"{path} is not a readable archive: {error}",
        hint="It may be incomplete, or of another format than its suffix says: get it again.",
    )
