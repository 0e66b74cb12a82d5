"""Sessions that many threads use for long: one that they share, and others that they open, use and close.

    python -m benchmarks.support.soaking SECONDS THREADS ENGINE...

prints the counts as JSON at the end. It is a process of its own, so that its memory is that of the sessions.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import ConvNeXtEdgeError
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.evaluation.metrics import Logits
from convnext_edge.images.noise import noise
from convnext_edge.targets.base import Images, Session

BATCHES = (1, 2, 3, 5, 8)
OWN, TOGETHER = 3, 9  # calls in a round of a session that is opened for them, and of the one that all share
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
        images = noise(described.preprocessing.shape, described.input_type, batch=max(BATCHES))
        questions = tuple(images[:size] for size in BATCHES)
        session = open_session(artifact, str(described.target), threads=1)
        return cls(artifact, session, questions, tuple(session.run(each) for each in questions))

    def own(self) -> Session:
        """A session beside the shared one."""
        return open_session(self.artifact, str(self.artifact.description.target), threads=1)


def soak_sessions(engines: list[Path], *, seconds: float, threads: int) -> dict[str, Any]:
    """Let threads ask, in rounds, once at least; return what there was.

    Calls, sessions opened, answers unlike the first, and errors are counted. `at_rest` is the physical
    memory behind each round, when only the shared sessions are left, as (seconds, bytes).
    """
    shared = [Shared.open(engine) for engine in engines]
    total = Counter(dict.fromkeys(KINDS, 0))
    at_rest: list[tuple[float, int]] = []
    began = time.monotonic()
    while not at_rest or at_rest[-1][0] < seconds:
        for counts in one_round(shared, threads):
            total.update(counts)
        at_rest.append((round(time.monotonic() - began, 2), resident_bytes()))
    for each in shared:
        each.session.close()
    return {**total, "at_rest": at_rest}


def resident_bytes() -> int:
    """Physical memory of this process, without what the allocator keeps for later.

    How much it keeps depends on how threads took turns: that is given back before.
    """
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def one_round(shared: list[Shared], threads: int) -> list[Counter[str]]:
    """What each of some threads did, which all have ended."""
    counts: list[Counter[str]] = [Counter() for _ in range(threads)]
    workers = [threading.Thread(target=ask_all, args=(shared, count)) for count in counts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return counts


def ask_all(shared: list[Shared], counts: Counter[str]) -> None:
    """One thread: ask a session of its own and then the shared one of each engine."""
    choose = random.Random(threading.get_ident())
    for each in shared:
        try:
            with each.own() as own:
                counts["opened"] += 1
                ask(each, own, choose.choices(range(len(BATCHES)), k=OWN), counts)
                ask(each, each.session, choose.choices(range(len(BATCHES)), k=TOGETHER), counts)
        except ConvNeXtEdgeError as error:
            counts["errors"] += 1
            sys.stderr.write(f"{error}\n")


def ask(shared: Shared, session: Session, batches: list[int], counts: Counter[str]) -> None:
    """Ask for these batches; count the answers, and those that are not the one that came first."""
    for which in batches:
        answer = session.run(shared.questions[which])
        counts["calls"] += 1
        counts["wrong"] += not np.array_equal(answer, shared.answers[which])


if __name__ == "__main__":
    wanted, many, *paths = sys.argv[1:]
    print(json.dumps(soak_sessions([Path(each) for each in paths], seconds=float(wanted), threads=int(many))))
