"""Sessions that many threads use for long: one that they share, and others that they open, use and close.

    python -m benchmarks.support.soaking SECONDS THREADS ENGINE...

prints the counts as JSON at the end. It is a process of its own, so that its memory is that of the sessions.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import ConvNeXtEdgeError
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.evaluation.metrics import Logits
from convnext_edge.images.noise import noise
from convnext_edge.targets.base import Images, Session

BATCHES = (1, 2, 3, 5, 8)
OWN, TOGETHER = 20, 60  # calls of a session that is opened for them, then of the one that all share
KINDS = ("calls", "opened", "wrong", "errors")


@dataclass(frozen=True)
class Shared:
    """An engine, the session that all threads use, and what it answered first to each batch."""

    artifact: Artifact
    session: Session
    questions: tuple[Images, ...]
    answers: tuple[Logits, ...]

    @classmethod
    def open(cls, engine: Path) -> Shared:
        artifact = open_artifact(engine)
        described = artifact.description
        images = noise(described.preprocessing.resolution, described.input_type, batch=max(BATCHES))
        questions = tuple(images[:size] for size in BATCHES)
        session = open_session(artifact, str(described.target), threads=1)
        return cls(artifact, session, questions, tuple(session.run(each) for each in questions))

    def own(self) -> Session:
        """A session beside the shared one."""
        return open_session(self.artifact, str(self.artifact.description.target), threads=1)


def soak_sessions(engines: list[Path], *, seconds: float, threads: int) -> Counter[str]:
    """How many calls there were, sessions opened, answers that differed from the first, and errors."""
    shared = [Shared.open(engine) for engine in engines]
    until = time.monotonic() + seconds
    counts = [Counter(dict.fromkeys(KINDS, 0)) for _ in range(threads)]
    workers = [
        threading.Thread(target=keep_calling, args=(shared, number, until, counts[number]))
        for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for each in shared:
        each.session.close()
    total = Counter(dict.fromkeys(KINDS, 0))
    for each_count in counts:
        total.update(each_count)
    return total


def keep_calling(shared: list[Shared], number: int, until: float, counts: Counter[str]) -> None:
    """One thread: ask the engines in turns, once at least and until the time is over."""
    choose = random.Random(number)
    while True:
        for each in shared:
            try:
                for session, calls in sessions(each, counts):
                    for which in choose.choices(range(len(BATCHES)), k=calls):
                        ask(each, session, which, counts)
            except ConvNeXtEdgeError as error:
                counts["errors"] += 1
                sys.stderr.write(f"{error}\n")
        if time.monotonic() > until:
            return


def sessions(shared: Shared, counts: Counter[str]) -> Iterator[tuple[Session, int]]:
    """A session of this thread's own, then the shared one, each with a number of calls."""
    with shared.own() as own:
        counts["opened"] += 1
        yield own, OWN
        yield (
            shared.session,
            TOGETHER,
        )  # with the other still open: as many are at any time, and memory is even


def ask(shared: Shared, session: Session, which: int, counts: Counter[str]) -> None:
    """Ask for one of the batches; count the answer, and whether it is not the one that came first."""
    answer = session.run(shared.questions[which])
    counts["calls"] += 1
    counts["wrong"] += not np.array_equal(answer, shared.answers[which])


if __name__ == "__main__":
    wanted, many, *paths = sys.argv[1:]
    found = soak_sessions([Path(path) for path in paths], seconds=float(wanted), threads=int(many))
    print(json.dumps(found))
