"""All commands on disks that are full, may only be read, or belong to somebody else.

    sudo env PYTHONPATH=tests:. python tests/trust/disks.py -o benchmarks/results

It mounts small file systems in memory, which takes root. A command has to succeed, or to fail with a message
and leave all files as they were. Where files are somebody else's, the command is still run by root, whose
Python nobody else may be able to read, but without the capabilities of root.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kill import draw, import_all
from support.figures import finish, parser
from support.killing import APP, Ended, Place, commands, inspect, make_place, run
from support.killing_dense import dense_commands

NOBODY = 65534
CAPABILITIES = range(64)
DROP_FROM_CHILDREN = 24  # PR_CAPBSET_DROP of linux/prctl.h
CAPSET_HEADER = (0x20080522, 0)  # version 3 of linux/capability.h, this process
STEPS = 6  # sizes of the full disk: from no free space to nearly enough
GROWTH = 600_000  # bytes that the largest command here adds


def main() -> None:
    """Try, print and write the figures; the exit code is not 0 where anything is wrong."""
    options = parser(__doc__)
    options.add_argument("--dense", action="store_true", help="commands of segmenters, detectors and grids")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        counts, faults = try_all(Path(folder), dense=asked.dense)
    wrong = {"tracebacks, and files left or changed": len(faults)}
    finish(
        "disks_dense" if asked.dense else "disks", {"counts": counts, "faults": faults}, wrong, asked.output
    )


def try_all(folder: Path, *, dense: bool) -> tuple[dict[str, int], list[str]]:
    """Return how often commands were tried and refused by kind of disk, and a line for each fault."""
    import_all()
    lines = (dense_commands if dense else commands)(draw(folder / "photos"))
    base = make_place(folder / "base", None)
    for line in lines.values():
        assert not run(base, line).code, line
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for name, line in lines.items():
        for kind, ended, left in tries(folder, base, line):
            counts[f"{kind}: tried"] += 1
            counts[f"{kind}: refused"] += ended.code != 0
            if ended.hung or ended.traceback or ended.code not in (0, 1, 2, 3):
                faults.append(f"{name}, {kind}: ended with {ended.code}: {ended.said[-1500:]}")
            faults += [f"{name}, {kind}: {fault}" for fault in left]
    return dict(counts), faults


def tries(folder: Path, base: Place, line: list[str]) -> Iterator[tuple[str, Ended, list[str]]]:
    """Run a command on each kind of disk; yield the kind, how it ended, and what it left that is wrong."""
    copied = [path for path in base.folder.rglob("*") if path.relative_to(base.folder).parts[0] != APP]
    used = sum(path.stat().st_blocks * 512 for path in copied)
    for step in range(STEPS):
        size = used + 65536 + GROWTH * step // STEPS
        with mounted(folder / "disk", base, f"size={size}") as place:
            yield from tried("full", place, line)
    with mounted(folder / "disk", base, "size=64m") as place:
        subprocess.run(["mount", "-o", "remount,ro", place.folder.parent], check=True)
        yield from tried("read-only", place, line)
    for kind, mode in (("another's", 0o755), ("forbidden", 0o700)):
        with mounted(folder / "disk", base, "size=64m") as place:
            give_away(place, mode)
            yield from tried(kind, place, line, be_an_ordinary_user)
    place = base.copy(folder / "limited")
    limit = (20_000, resource.RLIM_INFINITY)
    yield from tried("no large files", place, line, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    shutil.rmtree(place.folder)


def tried(
    kind: str, place: Place, line: list[str], change: Callable[[], object] = lambda: None
) -> Iterator[tuple[str, Ended, list[str]]]:
    """Run a command; yield the kind, how it ended, and what is wrong with the files."""
    before = contents(place.folder)
    ended = run(place, line, change=change)
    left = [f"{what}: {names}" for what, names in vars(inspect(place)).items() if names]
    if ended.code in (1, 2) and contents(place.folder).keys() - before.keys():
        left.append(f"files that a failed command left: {contents(place.folder).keys() - before.keys()}")
    yield kind, ended, left


def give_away(place: Place, mode: int) -> None:
    """Let all be somebody else's but the temporary files, with `mode` for the workspace."""
    place.workspace.chmod(mode)
    for path in (place.folder, place.workspace, *place.workspace.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


def be_an_ordinary_user() -> None:
    """Take from this process, and from those it will start, what root may do beyond others."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in CAPABILITIES:
        libc.prctl(DROP_FROM_CHILDREN, capability, 0, 0, 0)
    none = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, in two halves
    if libc.capset((ctypes.c_uint32 * 2)(*CAPSET_HEADER), none):
        raise OSError(ctypes.get_errno(), "capset")


def contents(folder: Path) -> dict[str, int]:
    """Return the size of each file below a folder."""
    return {str(path): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@contextmanager
def mounted(folder: Path, base: Place, options: str) -> Iterator[Place]:
    """Mount a file system in memory with a copy of a place on it."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield base.copy(folder / "place")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


if __name__ == "__main__":
    main()
