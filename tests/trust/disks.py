"""All commands on disks that are full, may only be read, or belong to somebody else.

    sudo env PYTHONPATH=tests:. python tests/trust/disks.py -o benchmarks/results

It mounts small file systems in memory, which takes root. A command has to succeed, or to fail with a message
and leave all files as they were.
"""

from __future__ import annotations

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
from support.killing import Ended, Place, commands, inspect, make_place, run

NOBODY = 65534
STEPS = 6  # sizes of the full disk: from no free space to nearly enough
GROWTH = 600_000  # bytes that the largest command here adds


def main() -> None:
    """Try, print and write the figures; the exit code is not 0 where anything is wrong."""
    asked = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        counts, faults = try_all(Path(folder))
    wrong = {"tracebacks, and files left or changed": len(faults)}
    finish("disks", {"counts": counts, "faults": faults}, wrong, asked.output)


def try_all(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Return how often commands were tried and refused by kind of disk, and a line for each fault."""
    import_all()
    lines = commands(draw(folder / "photos"))
    base = make_place(folder / "base", None)
    for line in lines.values():
        assert not run(base, line).code, line
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for name, line in lines.items():
        for kind, ended, left in tries(folder, base, line):
            counts[f"{kind}: tried"] += 1
            counts[f"{kind}: refused"] += ended.code != 0
            if ended.traceback or ended.code not in (0, 1, 3):
                faults.append(f"{name}, {kind}: ended with {ended.code}: {ended.said[-1500:]}")
            faults += [f"{name}, {kind}: {fault}" for fault in left]
    return dict(counts), faults


def tries(folder: Path, base: Place, line: list[str]) -> Iterator[tuple[str, Ended, list[str]]]:
    """Run a command on each kind of disk; yield the kind, how it ended, and what it left that is wrong."""
    used = sum(path.stat().st_blocks * 512 for path in base.folder.rglob("*"))
    for step in range(STEPS):
        size = used + 65536 + GROWTH * step // STEPS
        with mounted(folder / "disk", base, f"size={size}") as place:
            yield from tried("full", place, line)
    with mounted(folder / "disk", base, "size=64m") as place:
        subprocess.run(["mount", "-o", "remount,ro", place.folder.parent], check=True)
        yield from tried("read-only", place, line)
    with mounted(folder / "disk", base, "size=64m") as place:
        yield from tried("another's", place, line, lambda: os.setresuid(NOBODY, NOBODY, NOBODY))
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
    if ended.code == 1 and contents(place.folder).keys() - before.keys():
        left.append(f"files that a failed command left: {contents(place.folder).keys() - before.keys()}")
    yield kind, ended, left


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
