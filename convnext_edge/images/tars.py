"""The members of a tar archive that anybody may have made, in bounded memory and time.

Python's tarfile reads as much as a header claims (a long name, PAX records, the map of a sparse file) before
the caller sees it, and stops without a word at a damaged header. So it reads through a `Window`, and each
member is looked at before the next.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, Any, Protocol, cast

MAX_HEADER_BYTES = 2**20  # of one member, with its extended headers; usual are up to 2 KiB
MAX_RECORDS = 100  # of PAX for one member; GNU tar writes up to 10, and one for each extended attribute
MAX_NAME = 4096  # characters of a path, as on Linux


class Readable(Protocol):
    """A file of bytes, as far as it is used here."""

    def tell(self) -> int: ...
    def seek(self, position: int, /) -> int: ...
    def read(self, size: int, /) -> bytes: ...


class DamagedTarError(tarfile.TarError):
    """Says what is wrong with an archive."""


class BombError(tarfile.TarError):
    """Says that an archive unpacks to more than is reasonable."""


class Window:
    """A file as tarfile reads it: forward only, not beyond its end, and no more at a time than is allowed."""

    def __init__(self, file: Readable, most: int) -> None:
        """Read from the start of `file`, and no more than `most` bytes of it."""
        self._file = file
        self._most = most
        self.allowed = MAX_HEADER_BYTES
        self.last = b""  # what was read last

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int) -> int:
        if position > self._most:
            raise BombError(f"more than {self._most} bytes")
        if position < self.tell():
            raise DamagedTarError("a member begins before the end of the one before it")
        return self._file.seek(position)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.allowed:
            raise DamagedTarError(f"a header claims {size} bytes")
        self.allowed -= size
        self.last = self._file.read(size)
        return self.last


class TarReader:
    """The members of an archive in their order; the bytes of one are read before the next is asked for."""

    def __init__(self, file: Readable, *, most: int, most_members: int) -> None:
        """Read from the start of a file.

        most: bytes of the archive, unpacked. most_members: how many members it may have. Raises BombError for
        more of either, DamagedTarError, or whatever tarfile raises.
        """
        self._window = Window(file, most)
        self._most = most
        self._most_members = most_members
        window = cast("IO[bytes]", self._window)
        self._archive: Any = tarfile.TarFile(fileobj=window)  # its stubs lack the attribute `members`

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        count = 0
        while (member := self._archive.next()) is not None:
            self._check(member)
            count += 1
            if count > self._most_members:
                raise BombError(f"more than {self._most_members} members")
            yield member
            self._archive.members.clear()  # which would hold each of them until the end
            self._window.allowed = MAX_HEADER_BYTES
        if self._window.last.strip(b"\0"):
            raise DamagedTarError(f"there is no header at byte {self._archive.offset}")

    def read(self, member: tarfile.TarInfo) -> bytes:
        """Return the bytes of a member that was just returned."""
        self._window.seek(member.offset_data)
        self._window.allowed = member.size
        return self._window.read(member.size)

    def _check(self, member: tarfile.TarInfo) -> None:
        if len(member.name) > MAX_NAME or len(member.pax_headers) > MAX_RECORDS:
            raise DamagedTarError(f"the header of {member.name[:100]} is too long")
        if member.issparse():
            raise DamagedTarError(f"{member.name} is sparse; pack without --sparse")
        if member.size < 0:
            raise DamagedTarError(f"{member.name} claims {member.size} bytes")
        if member.isreg() and member.offset_data + member.size > self._most:
            raise BombError(f"more than {self._most} bytes")
