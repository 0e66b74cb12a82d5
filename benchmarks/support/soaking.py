"""Sessions that many threads use for long: one that they share, and others that they open, use and close.

    python -m benchmarks.support.soaking KIND SECONDS THREADS ENGINE...

prints the counts as JSON at the end. It is a process of its own, so that its memory is that of the sessions.
KIND names what opens them: `soaking_ours`, or for the control `soaking_bare`, whose process has none of our
code but this loop.
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
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
from numpy.typing import NDArray

BATCHES = (1, 2, 3, 5, 8)
OWN, TOGETHER = 3, 9  # calls in a round of a session that is opened for them, and of the one that all share
AT_ONCE = 5  # calls of the largest batch by all threads at once, before the first round
KINDS = ("calls", "opened", "wrong", "errors")

Array = NDArray[np.float32]


class Session(Protocol):
    """What answers images, and is closed behind it."""

    def run(self, images: Array) -> Array: ...

    def close(self) -> None: ...


Open = Callable[[], Session]


@dataclass(frozen=True)
class Shared:
    """An engine, the session that all threads use, and what it answered first to each batch."""

    own: Open  # a session beside the shared one
    session: Session
    questions: tuple[Array, ...]
    answers: tuple[Array, ...]

    @classmethod
    def open(cls, own: Open, shape: tuple[int, int, int]) -> Shared:
        images = np.random.default_rng(0).standard_normal((max(BATCHES), *shape), np.float32)
        questions = tuple(images[:size] for size in BATCHES)
        session = own()
        return cls(own, session, questions, tuple(session.run(each) for each in questions))


def soak_sessions(shared: list[Shared], *, seconds: float, threads: int) -> dict[str, Any]:
    """Let threads ask, in rounds, once at least; return what there was.

    Calls, sessions opened, answers unlike the first, and errors are counted. `at_rest` is the memory behind
    each round, when only the shared sessions are left: (seconds, resident bytes, allocated bytes).
    """
    total = Counter(dict.fromkeys(KINDS, 0))
    at_rest: list[tuple[float, int, int]] = []
    began = time.monotonic()
    in_threads(threads, ask_at_once, shared, threading.Barrier(threads))
    while not at_rest or at_rest[-1][0] < seconds:
        for counts in in_threads(threads, ask_all, shared):
            total.update(counts)
        at_rest.append((round(time.monotonic() - began, 2), *memory()))
    for each in shared:
        each.session.close()
    return {**total, "at_rest": at_rest}


class MallInfo(ctypes.Structure):
    """What glibc tells of its memory: `mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
            "keepcost",
        )
    ]  # fmt: skip


def memory() -> tuple[int, int]:
    """Physical memory of this process, and bytes that it has allocated; 0 where the system does not tell.

    What the allocator keeps for later is given back before: how much that is depends on how threads took
    turns.
    """
    gc.collect()
    allocated = 0
    if sys.platform == "linux":
        glibc = ctypes.CDLL(None)
        glibc.malloc_trim(0)
        glibc.mallinfo2.restype = MallInfo
        found = glibc.mallinfo2()
        allocated = found.uordblks + found.hblkhd
    return int(psutil.Process().memory_info().rss), allocated


def in_threads(threads: int, work: Callable[..., None], *arguments: Any) -> list[Counter[str]]:
    """What each of some threads counted, which all have ended."""
    counts: list[Counter[str]] = [Counter() for _ in range(threads)]
    workers = [threading.Thread(target=work, args=(*arguments, count)) for count in counts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return counts


def ask_at_once(shared: list[Shared], together: threading.Barrier, _: Counter[str]) -> None:
    """One thread: ask the shared sessions for the largest batch while all others do, so that they have seen the most."""  # noqa: E501
    for each in shared:
        for _call in range(AT_ONCE):
            together.wait()
            each.session.run(each.questions[-1])


def ask_all(shared: list[Shared], counts: Counter[str]) -> None:
    """One thread: ask a session of its own and then the shared one of each engine."""
    choose = random.Random(threading.get_ident())
    for each in shared:
        try:
            with closing(each.own()) as own:
                counts["opened"] += 1
                ask(each, own, choose.choices(range(len(BATCHES)), k=OWN), counts)
                ask(each, each.session, choose.choices(range(len(BATCHES)), k=TOGETHER), counts)
        except Exception as error:  # of ours or of a runtime
            counts["errors"] += 1
            sys.stderr.write(f"{error}\n")


def ask(shared: Shared, session: Session, batches: list[int], counts: Counter[str]) -> None:
    """Ask for these batches; count the answers, and those that are not the one that came first."""
    for which in batches:
        answer = session.run(shared.questions[which])
        counts["calls"] += 1
        counts["wrong"] += not np.array_equal(answer, shared.answers[which])


if __name__ == "__main__":
    kind, wanted, many, *paths = sys.argv[1:]
    opener = import_module(f"benchmarks.support.{kind}").opener
    engines = [Shared.open(*opener(Path(each))) for each in paths]
    print(json.dumps(soak_sessions(engines, seconds=float(wanted), threads=int(many))))
