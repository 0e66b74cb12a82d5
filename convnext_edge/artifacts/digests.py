"""SHA-256 of files, each file read once: digests are remembered while the process lives."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

# Two changes within one tick of the file system's clock (4 ms on Linux, 16 ms on Windows) show the same time.
TICK_NS = 20_000_000


@dataclass(frozen=True)
class Stamp:
    """What the system says of a file without reading it; a changed file has another one."""

    device: int
    inode: int
    bytes: int
    modified_ns: int  # since the epoch
    changed_ns: int  # of the content or of what the system says of it; programs cannot set it

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the stamp of a file as it is now."""
        found = path.stat()
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


_known: dict[Path, tuple[Stamp, str]] = {}


def sha256(path: Path) -> str:
    """Return the hex digest of a file, which is read only where it has changed since it was last read."""
    stamp = Stamp.of(path)
    known = _known.get(path.absolute())
    if known is not None and known[0] == stamp:
        return known[1]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if Stamp.of(path) == stamp:
        _remember(path, stamp, digest, touched_ns=max(stamp.modified_ns, stamp.changed_ns))
    return digest


def remember_moved(path: Path, digest: str, before: Stamp) -> None:
    """Remember the digest of a file that was moved to `path`, if it is still there.

    before: its stamp when the digest was taken.
    """
    try:
        stamp = Stamp.of(path)
    except OSError:
        return
    if replace(stamp, changed_ns=before.changed_ns) == before:  # moving it is a change of what is said of it
        _remember(path, stamp, digest, touched_ns=stamp.modified_ns)


def _remember(path: Path, stamp: Stamp, digest: str, *, touched_ns: int) -> None:
    # A file that was touched just now may be so again without another stamp.
    if touched_ns < time.time_ns() - TICK_NS:
        _known[path.absolute()] = (stamp, digest)
