"""Locks on folders: one writer at a time, and no reader while files move into place.

The lock is on the folder itself, not on a file in it: nothing is left behind, a folder that may only be read
can be locked as well, and the system frees the lock however its process dies. Windows has no locks on
folders; there it is filelock's, on a file that stays. Where the file system knows no locks (some network
drives), nothing is locked: then one writer a folder is up to the user.

Readers hold their lock from the moment an artifact is opened until it is loaded (`reading`, `release`). A
process that is about to write gives up what it holds first, so that two that read and write cannot wait for
each other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout

from convnext_edge.errors import ArtifactError
from convnext_edge.progress import note

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".convnext-edge.lock"  # where folders cannot be locked
PATIENCE = 1.0  # seconds before a note says what is waited for
LIMIT = 600.0  # seconds: longer than any engine takes to load
PAUSE = 0.005  # seconds between two tries
OUT_OF_REACH = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}
# What file systems without locks answer, some of them only to a handle that may not write.
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL}


class _Reading:
    """The folders that the code of one context reads from."""

    def __init__(self) -> None:
        self.locks: dict[Path, ExitStack] = {}

    def hold(self, folder: Path) -> None:
        if folder not in self.locks:
            with ExitStack() as stack:
                stack.enter_context(shared(folder))
                self.locks[folder] = stack.pop_all()

    def release(self, *folders: Path) -> None:
        for folder in folders or list(self.locks):
            if folder in self.locks:
                self.locks.pop(folder).close()


_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading() -> Iterator[None]:
    """Keep what is opened inside as it is, until it is loaded: writers wait until `release` or the end.

    Inside another `reading`, it is part of that one.
    """
    if _reading.get() is not None:
        yield
        return
    held = _Reading()
    token = _reading.set(held)
    try:
        yield
    finally:
        _reading.reset(token)
        held.release()


def release() -> None:
    """Let writers go on: all that was opened is loaded, or is about to be replaced by this process."""
    held = _reading.get()
    if held is not None:
        held.release()


def release_one(folder: Path) -> None:
    """Let writers go on in one folder; the others stay as they are."""
    held = _reading.get()
    if held is not None:
        held.release(folder.absolute())


def hold(folder: Path) -> None:
    """Wait until nobody writes in a folder, and keep it so; outside of `reading`, only wait."""
    held = _reading.get()
    key = folder.absolute()
    if held is None:
        with shared(folder):
            return
    held.hold(key)


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Lock a folder against writers; other readers are welcome. Raise ArtifactError after LIMIT seconds."""
    with _locked(folder, for_writing=False):
        yield


@contextmanager
def exclusive(folder: Path, *, still_reading: bool = False) -> Iterator[bool]:
    """Lock a folder against writers and readers; yield whether it is locked, False where nothing can be.

    still_reading: keep the locks on other folders, which are given up otherwise. Raises ArtifactError after
    LIMIT seconds.
    """
    if still_reading:
        release_one(folder)
    else:
        release()
    with _locked(folder, for_writing=True) as locked:
        yield locked


@contextmanager
def _locked(folder: Path, *, for_writing: bool) -> Iterator[bool]:
    if fcntl is None:
        with _file_locked(folder) as locked:
            yield locked
        return
    try:
        handle = opened(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in OUT_OF_REACH:
            raise
        yield False  # what follows tells better that it is gone, or may not be listed
        return
    try:
        yield _wait(folder, lambda: try_lock(handle, for_writing=for_writing))
    finally:
        closed(handle)


@contextmanager
def _file_locked(folder: Path) -> Iterator[bool]:
    with ExitStack() as stack:
        locked = False
        with contextlib.suppress(OSError):  # in a folder that may only be read
            try:
                stack.enter_context(FileLock(folder / LOCK_FILE, timeout=LIMIT))
                locked = True
            except Timeout as error:
                raise _too_long(folder) from error
        yield locked


_handles: set[int] = set()  # of all that this process has locked


def opened(folder: Path, flags: int) -> int:
    """Open a folder to lock it; a child that is forked meanwhile does not share the lock."""
    handle = os.open(folder, flags)
    _handles.add(handle)
    return handle


def closed(handle: int) -> None:
    """Unlock and close what `opened` returned."""
    _handles.discard(handle)
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a child that was forked has it open still: closing would not do
            fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def _leave_to_parent() -> None:
    """Close in a forked child what its parent has locked."""
    for handle in _handles:
        with contextlib.suppress(OSError):
            os.close(handle)
    _handles.clear()
    _reading.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def try_lock(handle: int, *, for_writing: bool = True) -> bool | None:
    """Lock an open folder; return False where another has locked it, None where nothing can be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if for_writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return None
    return True


def _wait(folder: Path, attempt: Callable[[], bool | None]) -> bool:
    began, told = time.monotonic(), False
    while (locked := attempt()) is False:
        waited = time.monotonic() - began
        if waited > LIMIT:
            raise _too_long(folder)
        if waited > PATIENCE and not told:
            note(f"waiting for another convnext-edge that works in {folder}")
            told = True
        time.sleep(PAUSE)
    return locked is True


def _too_long(folder: Path) -> ArtifactError:
    return ArtifactError(
        f"another process has kept {folder} locked for {LIMIT:.0f} seconds",
        hint="End it if it hangs (`lsof +d FOLDER` names it), or choose another --workspace.",
    )
