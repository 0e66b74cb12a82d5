"""Writers and readers of one artifact side by side, in processes of their own.

    PYTHONPATH=tests:. python tests/trust/race.py --rounds 500 -o benchmarks/results

In each round, three writers write an artifact of two files and a sidecar under the same name, at nearly the
same time. Meanwhile two readers open it and load both files as commands do.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

from support.figures import finish, parser

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Description
from convnext_edge.artifacts.locks import reading
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.images.preprocessing import Preprocessing

WRITERS, READERS = 3, 2
SMALL = Architecture(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8), classes=2)  # that sidecars tell of
KINDS = ("read", "mismatch", "failed")  # what a read may come to
BYTES = 20_000  # of each file: more than one write of a buffer


def race(path: Path, rounds: int) -> Counter[str]:
    """Return how many rounds, reads and faults there were."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[str, int]] = context.Queue()
    together, over = context.Barrier(WRITERS), context.Event()
    write(path, writer=0, number=0)
    writers = [context.Process(target=keep_writing, args=(path, n, rounds, together)) for n in range(WRITERS)]
    readers = [context.Process(target=keep_reading, args=(path, over, results)) for _ in range(READERS)]
    for process in writers + readers:
        process.start()
    for process in writers:
        process.join()
    over.set()
    counts: Counter[str] = Counter(rounds=rounds)
    for _ in range(READERS * len(KINDS)):
        kind, count = results.get(timeout=60)
        counts[kind] += count
    for process in readers:
        process.join()
    counts["failed processes"] = sum(process.exitcode != 0 for process in writers + readers)
    counts["mismatches at the end"] = read(path) == "mismatch"
    counts["left over"] = sum(1 for item in path.parent.iterdir() if ".convnext-edge-" in item.name)
    return counts


def keep_writing(path: Path, writer: int, rounds: int, together: Barrier) -> None:
    """Write once a round, at a moment that chance shifts a little."""
    choose = random.Random(writer)
    for number in range(rounds):
        together.wait()
        time.sleep(choose.random() * 0.01)
        write(path, writer=writer, number=number)


def keep_reading(path: Path, over: Event, results: multiprocessing.Queue[tuple[str, int]]) -> None:
    """Read until all is written, and report how often which kind of answer came."""
    counts: Counter[str] = Counter()
    while not over.is_set():
        counts[read(path)] += 1
    for kind in KINDS:
        results.put((kind, counts[kind]))


def write(path: Path, *, writer: int, number: int) -> None:
    """Write an artifact whose files and sidecar all tell who wrote them, and when."""
    token = f"{writer}-{number}"

    def make(file: Path) -> None:
        for item in (file, file.with_suffix(".bin")):
            item.write_text((token + "\n") * (BYTES // len(token)), encoding="ascii")

    write_artifact(path, Description("engine", token, None, asdict(SMALL), Preprocessing()), make)


def read(path: Path) -> str:
    """Open and load an artifact; return which of KINDS came of it."""
    try:
        with reading():
            artifact = open_artifact(path)
            time.sleep(0.002)  # a runtime is slower between its two files
            texts = [item.read_text(encoding="ascii") for item in (path, path.with_suffix(".bin"))]
    except Exception as error:
        sys.stderr.write(f"a reader failed: {error}\n")
        return "failed"
    tokens = {line for text in texts for line in text.splitlines()}
    return "read" if tokens == {artifact.description.stem} else "mismatch"


def main() -> None:
    """Race, print and write the figures; the exit code is not 0 where anything is wrong."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=500)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = race(Path(folder) / "model.xml", asked.rounds)
    wrong = {kind: int(count) for kind, count in counts.items() if kind not in ("rounds", "read")}
    finish("race", {"counts": counts}, wrong, asked.output)


if __name__ == "__main__":
    main()
