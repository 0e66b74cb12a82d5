"""Files and folders that are complete or absent at any moment: the one way to write here.

What is written is made in a scratch folder beside its place and synced to the disk. One file is then moved,
which the system does at once or not at all. Several files that belong together are first *committed*: their
scratch folder gets a name that begins with COMMITTED, in one step, and then they move to their places. A
process that dies before that step leaves the old files; one that dies after it leaves a committed folder,
and whoever looks next (`settle`) moves the rest. Names that hold the digest, with the sidecar as a pointer,
would need no second step; but users name their files, and the runtimes find companions by these names.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from convnext_edge.artifacts.locks import exclusive, hold
from convnext_edge.artifacts.scratch import remove_abandoned, scratch_folder
from convnext_edge.errors import ArtifactError, UsageError

# What is found under these names is removed: none may be one that a user gives to a folder.
TEMPORARY = ".convnext-edge-scratch-"
WRITING = ".convnext-edge-writing-"
COMMITTED = ".convnext-edge-committed-"
NEW = "new"  # in a scratch folder: what moves to the place of writing
GONE = "gone"  # in a scratch folder: an empty file for each name there that is no longer needed
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ELSEWHERE = "choose another folder with -o or --workspace."
OLD = 60.0  # seconds in which a writer moves its files, where nothing tells whether it lives
Made = TypeVar("Made")
Superseded = Callable[[Collection[str]], Collection[str]]


def write_whole(
    path: Path,
    make: Callable[[Path], Made],
    *,
    superseded: Superseded = lambda names: (),
    hint: str = ELSEWHERE,
) -> Made:
    """Let `make` make a file or folder and companions beside it, then let all of them appear at once.

    make: gets a path in a scratch folder, with the name of `path`; what it returns is returned.
    superseded: is called when nobody else writes there, with the names that will appear. It returns those
    that go away at the same time, or raises an error that leaves all as it was. hint: what to do where the
    system does not let us write.
    Raises ArtifactError where the system does not let us write, UsageError where a link is in the place of
    what is written; nothing half-written stays behind.
    """
    folder = path.parent
    refuse_link(path)
    try:
        with _made_folder(folder), scratch_folder(folder, WRITING) as scratch:
            new = scratch / NEW
            new.mkdir()
            returned = make(new / path.name)
            names = sorted(item.name for item in new.iterdir())
            for name in names:
                _sync(new / name)
            remove_begun(folder)
            with exclusive(folder) as locked:
                _finish_all(folder, locked=locked)
                _refuse_unfinished(folder)
                _commit(scratch, superseded(names))
    except OSError as error:
        raise cannot_write(path, error, hint) from error
    return returned


def refuse_link(path: Path) -> None:
    """Raise UsageError for a symbolic link in the place of what is written.

    Moving a file there would replace the link; following it would write to a folder that nobody has locked,
    and its sidecar beside it. Links among the folders above are followed.
    """
    if path.is_symlink():
        raise UsageError(
            f"{path} is a link to {path.readlink()}, and writing would replace it",
            hint="Name with -o what it leads to, or take the link away.",
        )


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a scratch folder in the system's place for temporary files.

    Raises ArtifactError where that place does not let us write.
    """
    place = Path(tempfile.gettempdir())
    try:
        with scratch_folder(place, TEMPORARY) as scratch:
            folder = scratch / NEW  # the lock of the outer one says that its process lives
            folder.mkdir()
            yield folder
    except OSError as error:
        if not str(error.filename).startswith(str(place)) and error.errno not in NO_SPACE:
            raise
        raise cannot_write(place / "temporary files", error, "set TMPDIR to another folder.") from error


def settle_temporary() -> None:
    """Remove the temporary folders of commands that were killed."""
    remove_abandoned(Path(tempfile.gettempdir()), TEMPORARY)


def remove_begun(folder: Path) -> None:
    """Remove what killed writers had begun in a folder; what they had committed stays for `settle`."""
    remove_abandoned(folder, WRITING)


def settle(folder: Path) -> None:
    """Finish or remove what writers that were killed have left in a folder, and wait for those that live.

    Inside `locks.reading`, no other process changes the folder from then on until `locks.release`.
    """
    remove_begun(folder)
    hold(folder)
    if _committed(folder):
        with exclusive(folder, still_reading=True) as locked:
            _finish_all(folder, locked=locked)
        hold(folder)


def unfinished(folder: Path) -> list[str]:
    """Return the names of files that a killed writer had committed in a folder, and that could not move."""
    return [item.name for committed in _committed(folder) for item in _contents(committed / NEW)]


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is complete or absent at any moment; raise ArtifactError where that fails."""
    write_whole(path, lambda file: file.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text with plain line ends, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def cannot_write(path: Path, error: OSError, hint: str = ELSEWHERE) -> ArtifactError:
    """Return the error that a person is shown; it tells the space on the disk where that may be the cause."""
    if isinstance(error, shutil.Error):  # of a whole folder: one line a file, and one tells enough
        reason = re.sub(r"^\[Errno \d+\] (.*?): .*", r"\1", str(error.args[0][0][-1]))
    else:
        reason = error.strerror or str(error)
    if error.errno in (None, *NO_SPACE):
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        hint = f"{folder} has {shutil.disk_usage(folder).free / 2**20:.0f} MiB free; {hint}"
    return ArtifactError(f"cannot write {path}: {reason}", hint=hint[0].upper() + hint[1:])


def _commit(scratch: Path, gone: Collection[str]) -> None:
    """Move what is in a scratch folder to its place; only its owner, who has locked the place, calls this."""
    new, place = scratch / NEW, scratch.parent
    items = sorted(new.iterdir())
    for item in items:
        refuse_link(place / item.name)
        _check_place(item, place / item.name)
    if len(items) == 1 and not gone:
        items[0].replace(place / items[0].name)
        _sync_one(place)
        return
    (scratch / GONE).mkdir()
    for name in gone:
        (scratch / GONE / name).touch()
    _sync(scratch / GONE)
    _sync_one(new)
    scratch.chmod(new.stat().st_mode)  # who shares the folder may have to finish this
    committed = place / scratch.name.replace(WRITING, COMMITTED, 1)
    scratch.rename(committed)
    _sync_one(place)
    try:
        _move(committed)
    except OSError:
        if len(_contents(committed / NEW)) == len(items) and len(_contents(committed / GONE)) == len(gone):
            committed.rename(scratch)  # nothing has moved: the old files stay, and whoever removes it may die
        raise
    shutil.rmtree(committed)


def _check_place(item: Path, place: Path) -> None:
    """Raise the OSError now that moving an item would raise, while all is still as it was."""
    if place.is_dir() and not (item.is_dir() and not any(place.iterdir())):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))


def _committed(folder: Path) -> list[Path]:
    """Return the committed folders in a folder: whoever has locked it knows that their writers are gone."""
    try:
        found = sorted(item for item in folder.iterdir() if item.name.startswith(COMMITTED))
        return [item for item in found if item.is_dir() and not item.is_symlink()]
    except OSError:  # it may be entered but not listed
        return []


def _finish_all(folder: Path, *, locked: bool) -> None:
    """Move what killed writers had committed, as far as the system lets us.

    locked: where it is not, a writer may be alive, and only what is old is taken for left behind.
    """
    for committed in _committed(folder):
        with contextlib.suppress(OSError):
            if locked or time.time() - committed.stat().st_mtime > OLD:
                _move(committed)
                shutil.rmtree(committed)


def _refuse_unfinished(folder: Path) -> None:
    """Raise ArtifactError where an older writer's files are still to move: they would replace newer ones."""
    for committed in _committed(folder):
        raise ArtifactError(
            f"{folder} has files of a killed command, which this user may not move: {committed.name}",
            hint=f"Let the owner of {committed} run any convnext-edge command with --workspace {folder}.",
        )


def _move(committed: Path) -> None:
    place = committed.parent
    for item in _contents(committed / GONE):
        (place / item.name).unlink(missing_ok=True)
        item.unlink()
    for item in _contents(committed / NEW):
        item.replace(place / item.name)
    _sync_one(place)


def _contents(folder: Path) -> list[Path]:
    """Return what is in a part of a committed folder; nothing for a link, which we never make."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(folder.iterdir())


@contextmanager
def _made_folder(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; where what follows fails, take those away again that are empty."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for parent in missing:
                parent.rmdir()
        raise


def _sync(path: Path) -> None:
    """Let the disk hold a file, or a folder with all that is in it."""
    for item in [*(path.rglob("*") if path.is_dir() else ()), path]:
        _sync_one(item)


def _sync_one(path: Path) -> None:
    """Let the disk hold a file, or the list of names of a folder where the system allows it."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
