"""Images in .zip and .tar archives, which are read in place: nothing is extracted to disk."""

from __future__ import annotations

import gzip
import posixpath
import threading
import zipfile
from pathlib import Path, PureWindowsPath
from typing import TypeVar, cast

from convnext_edge.errors import ImageSetError
from convnext_edge.images.folders import is_hidden
from convnext_edge.images.tars import BombError, TarReader

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar",)
COMPRESSED_TAR_SUFFIXES = (".tar.gz", ".tgz")

Member = TypeVar("Member")

MAX_MEMBER_BYTES = 2**28  # no photograph comes near 256 MiB; a zip bomb passes it at once
MAX_COMPRESSED_TAR_BYTES = 2**31  # held in memory, so 2 GiB
MAX_EXPANSION = 8  # times the size of a .tar.gz beyond MAX_MEMBER_BYTES; photographs do not even double
FREE_MEMBERS, LEAST_BYTES = 10_000, 128  # members of any .tar.gz, and bytes of it for each further one


class ZipStorage:
    """The members of a .zip archive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # ZipFile counts its readers without a lock of its own.
        self._lock = threading.Lock()
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # what zipfile raises depends on where the damage is
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
        _check_size(name, info.file_size)
        try:
            with self._lock:
                return self._zip.read(info)
        except Exception as error:  # as above
            raise ImageSetError(
                f"{name} is damaged in {self._path}: {error}", hint="Get it again."
            ) from error


class TarStorage:
    """The members of an uncompressed .tar archive, each read at its offset in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                members = TarReader(file, most=size, most_members=size, seconds=_seconds(size))
                found = {m.name: (m.offset_data, m.size) for m in members if m.isreg()}
        except BombError as error:
            raise _damaged(path, EOFError("a member ends behind the end of the file")) from error
        except Exception as error:  # what tarfile raises depends on where the damage is
            raise _damaged(path, error) from error
        self._members = _index(path, found)
        self.names = tuple(sorted(self._members))

    def read(self, name: str) -> bytes:
        offset, size = self._members[name]
        _check_size(name, size)
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
            found = _read_all(path)
        except BombError as error:
            raise ImageSetError(
                f"{path} unpacks to {error}",
                hint="Images hardly compress. Give an uncompressed .tar, a .zip or a folder.",
            ) from error
        except Exception as error:  # as above, and of gzip
            raise _damaged(path, error) from error
        self._members = _index(path, found)
        self.names = tuple(sorted(self._members))

    def read(self, name: str) -> bytes:
        content = self._members[name]
        if isinstance(content, int):
            _check_size(name, content)
        return cast(bytes, content)


def _read_all(path: Path) -> dict[str, bytes | int]:
    """Return the bytes of each member by name; of one that is too large, only how many they are."""
    size = path.stat().st_size
    most = min(MAX_COMPRESSED_TAR_BYTES, max(MAX_MEMBER_BYTES, MAX_EXPANSION * size))
    contents: dict[str, bytes | int] = {}
    with gzip.open(path) as file:
        count = FREE_MEMBERS + size // LEAST_BYTES
        members = TarReader(file, most=most, most_members=count, seconds=_seconds(size))
        for member in members:
            if member.isreg():
                contents[member.name] = (
                    member.size if member.size > MAX_MEMBER_BYTES else members.read(member)
                )
    return contents


def _seconds(size: int) -> float:
    """Return how much CPU time an archive of so many bytes may take: twenty times what photographs need."""
    return 5 + size / 2**20


def _check_size(name: str, size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise ImageSetError(
            f"{name} unpacks to {size} bytes, more than {MAX_MEMBER_BYTES}",
            hint="Take it out of the archive.",
        )


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
        f"{path} is not a readable archive: {str(error) or type(error).__name__}",
        hint="It may be incomplete, or of another format than its suffix says: get it again.",
    )
