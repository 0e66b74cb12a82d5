"""Throughput: how many calls a second two models complete with several calls of each in flight.

Each call in flight has a thread of its own, which starts the next call when one is done. The models take
turns by windows of at most a second, so that a busy machine slows both alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Barrier
from typing import TypeAlias

from convnext_edge.evaluation.timing import SETTLE, WARM_UP
from convnext_edge.network.threads import operator_threads
from convnext_edge.progress import track
from convnext_edge.targets.base import Images, Streams

LONGEST = 1.0  # seconds of a window
FEWEST = 5  # windows: with fewer, there is no interval of their median
Window: TypeAlias = list[list[float]]  # of each stream: the seconds since the start when each call was done


@dataclass(frozen=True)
class InFlight:
    """What was counted of a model with several calls in flight."""

    rates: list[float] = field(default_factory=list)  # calls a second of each window
    milliseconds: list[float] = field(default_factory=list)  # of each call, from its start to its answer

    def add(self, window: Window) -> None:
        """Count a window. Each stream has its own rate, as their last calls are done at different times."""
        self.rates.append(sum(len(done) / done[-1] for done in window))
        for done in window:
            starts = [0.0, *done[:-1]]
            spans = zip(starts, done, strict=True)
            self.milliseconds.extend(1000 * (end - start) for start, end in spans)


def in_flight(models: list[tuple[Streams, Images]], seconds: float) -> list[InFlight]:
    """Keep several calls of each model in flight, for about `seconds` of each.

    A window lasts until its calls are done: of a slow model, those of one call of each stream.
    """
    count = max(math.ceil(seconds / LONGEST), FEWEST)
    found = [InFlight() for _ in models]
    end = time.perf_counter() + seconds * len(models)
    with crews(models) as runs:
        for run in runs:
            for _ in range(WARM_UP):
                run(0.0)
        for turn in track(range(count), "counting calls", total=count):
            if turn >= FEWEST and time.perf_counter() > end:
                break
            for counted, run in zip(found, runs, strict=True):
                time.sleep(SETTLE)
                counted.add(run(seconds / count))
    return found


@contextmanager
def crews(models: list[tuple[Streams, Images]]) -> Iterator[list[Callable[[float], Window]]]:
    """Yield a function for each model that keeps its calls in flight for so many seconds.

    Its threads stay the same: PyTorch has a pool of threads for each thread that calls it.
    """
    pools = [ThreadPoolExecutor(len(streams.sessions)) for streams, _ in models]
    try:
        yield [make_run(pool, *model) for pool, model in zip(pools, models, strict=True)]
    finally:
        for pool in pools:
            pool.shutdown()


def make_run(pool: ThreadPoolExecutor, streams: Streams, images: Images) -> Callable[[float], Window]:
    """Return what calls each session of a model, over and over, in a thread of the pool."""

    def run(seconds: float) -> Window:
        together = Barrier(len(streams.sessions))

        def call(number: int) -> list[float]:
            session = streams.sessions[number]
            done: list[float] = []
            with operator_threads(streams.threads):
                together.wait()
                started = time.perf_counter()
                while not done or done[-1] < seconds:
                    session.run(images)
                    done.append(time.perf_counter() - started)
            return done

        return list(pool.map(call, range(len(streams.sessions))))

    return run
