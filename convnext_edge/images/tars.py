"""The members of a tar archive that anybody may have made, in bounded memory and time.

Python's tarfile reads as much as a header claims (a long name, PAX records, the map of a sparse file) before
the caller sees it, and stops without a word at a damaged header. So it reads through a `Window`, and each
member is looked at before the next.
"""

from __future__ import annotations

import re
import tarfile
import time
from collections.abc import Iterator
from typing import IO, Any, Protocol, cast

MAX_HEADER_BYTES = 2**17  # of one member, with its extended headers; usual are up to 2 KiB
MAX_RECORDS = 100  # of PAX for one member; GNU tar writes up to 10, and one for each extended attribute
MANY_DIGITS = re.compile(rb"[0-9]{65}")  # for which tarfile takes time as their square (CVE-2024-6232)
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
    """A file as tarfile reads headers of it: forward only, not beyond its end, no more than is allowed."""

    def __init__(self, file: Readable, most: int) -> None:
        """Read from the start of `file`, and no more than `most` bytes of it."""
        self._file = file
        self._most = most
        self.last = b""  # what was read last
        self.start_member()

    def start_member(self) -> None:
        """Allow another header, with those that extend it."""
        self._allowed, self._records = MAX_HEADER_BYTES, 0

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int) -> int:
        if position > self._most:
            raise BombError(f"more than {self._most} bytes")
        if position < self.tell():
            raise DamagedTarError("a member begins before the end of the one before it")
        return self._file.seek(position)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise DamagedTarError(f"a header claims {size} bytes")
        if size > self._allowed:
            raise DamagedTarError(f"the headers of one member have more than {MAX_HEADER_BYTES} bytes")
        self._allowed -= size
        self.last = self._file.read(size)
        if size > tarfile.BLOCKSIZE:
            self._check_records()
        return self.last

    def read_content(self, size: int) -> bytes:
        """Return the bytes of a member."""
        return self._file.read(size)

    def _check_records(self) -> None:
        """Raise DamagedTarError for an extended header that takes long to take apart."""
        self._records += self.last.count(b"=")  # one or more in each record
        if self._records > MAX_RECORDS or MANY_DIGITS.search(self.last):
            raise DamagedTarError(f"a header has more than {MAX_RECORDS} records, or 64 digits in a row")


class TarReader:
    """The members of an archive in their order; the bytes of one are read before the next is asked for."""

    def __init__(self, file: Readable, *, most: int, most_members: int, seconds: float) -> None:
        """Read from the start of a file.

        most: bytes of the archive, unpacked. most_members: how many members it may have. seconds: of CPU that
        all of it may take. Raises BombError for more of the two, DamagedTarError, or whatever tarfile raises.
        """
        self._seconds, self._started = seconds, time.thread_time()
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
            self._window.start_member()
        if self._window.last.strip(b"\0"):
            raise DamagedTarError(f"there is no header at byte {self._archive.offset}")

    def read(self, member: tarfile.TarInfo) -> bytes:
        """Return the bytes of a member that was just returned."""
        self._window.seek(member.offset_data)
        return self._window.read_content(member.size)

    def _check(self, member: tarfile.TarInfo) -> None:
        if time.thread_time() - self._started > self._seconds:
            raise DamagedTarError(f"its headers take more than {self._seconds:.0f} seconds to read")
        if len(member.name) > MAX_NAME or len(member.pax_headers) > MAX_RECORDS:
            raise DamagedTarError(f"the header of {member.name[:100]} is too long")
        if member.issparse():
            raise DamagedTarError(f"{member.name} is sparse; pack without --sparse")
        if member.size < 0:
            raise DamagedTarError(f"{member.name} claims {member.size} bytes")
        if member.isreg() and member.offset_data + member.size > self._most:
            raise BombError(f"more than {self._most} bytes")
