"""Timing models in turn, and telling whether the times are to be relied on.

What else a machine does slows models that run in turns alike, but only as long as it leaves them CPUs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import ArrayLike

from convnext_edge.cpu import usable_cpus
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.load import Load
from convnext_edge.progress import Bars, track

WARM_UP = 3  # first calls of each model that are not counted
SETTLE = 0.002  # seconds between two models, so that the worker threads of the first fall asleep
FEWEST, MOST = 15, 100  # rounds: with fewer, the interval of a ratio is too wide to decide anything
DRAWS = 2000  # bootstrap samples
FAR = 2.0  # median over minimum of a column; on a quiet machine it is 1.0 to 1.3


def check_threads(threads: int | None) -> int:
    """Return the number of threads to time with, by default one for each CPU that may be used.

    Raises UsageError for more threads than CPUs.
    """
    cpus = usable_cpus()
    if threads is not None and threads > cpus:
        raise UsageError(
            f"--threads {threads} are more than the {cpus} CPUs that may be used here",
            hint=f"Give 1 to {cpus}.",
        )
    return threads or cpus


def check_streams(streams: int | None, threads: int) -> None:
    """Raise UsageError for more calls in flight than threads, which would wait for each other."""
    if streams is not None and streams > threads:
        raise UsageError(
            f"--streams {streams} are more than the threads that run them: {threads}",
            hint=f"Give 1 to {threads}, or more --threads (there are {usable_cpus()} CPUs).",
        )


def interleave(
    models: tuple[Callable[[], object], ...], runs: int, *, seconds: float | None = None
) -> list[list[float]]:
    """Return the milliseconds of `runs` calls of each model, or of as many as `seconds` for each allow.

    The models run in turn, so that a busy machine slows all of them alike. By `seconds`, the models share
    them: a slower one gets more.
    """
    times: list[list[float]] = [[] for _ in models]
    for turn in rounds(runs, None if seconds is None else seconds * len(models)):
        for column, call in zip(times, models, strict=True):
            time.sleep(SETTLE)
            started = time.perf_counter()
            call()
            if turn >= 0:
                column.append(1000 * (time.perf_counter() - started))
    return times


def rounds(runs: int, seconds: float | None) -> Iterator[int]:
    """Yield the numbers of rounds, below 0 while models warm up: `runs` of them, or those of `seconds`."""
    if seconds is None:
        yield from track(range(-WARM_UP, runs), "timing", total=WARM_UP + runs)
        return
    yield from range(-WARM_UP, 0)
    started = time.perf_counter()
    with Bars() as bars:
        bars.start("timing", math.ceil(seconds))
        shown = 0
        for turn in count():
            yield turn
            passed = time.perf_counter() - started
            bars.advance("timing", int(passed) - shown)
            shown = int(passed)
            if passed >= seconds:
                return


def affordable(models: tuple[Callable[[], object], ...], seconds: float) -> int:
    """Return how many rounds take about `seconds`, but at least `FEWEST` and at most `MOST`."""
    started = time.perf_counter()
    for call in models:
        call()
    return int(min(max(seconds / (time.perf_counter() - started), FEWEST), MOST))


def doubt(columns: Sequence[Sequence[float]], load: Load, *, threads: int) -> str:
    """Return why times are not to be relied on; empty where they are.

    columns: what `interleave` returned. load: while it ran. threads: of the timed calls.
    """
    furthest = max(float(np.median(column)) / min(column) for column in columns)
    if furthest > FAR:
        return f"a median is {furthest:.1f} times the least time"
    return load.excess(threads)


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one model is as another, with its 95 % interval."""

    value: float
    low: float  # lower end of the interval
    high: float  # upper end


def interval_of_median(values: ArrayLike, *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the median of values, by the percentile bootstrap."""
    found = np.asarray(values)
    drawn = np.random.default_rng(seed).integers(0, found.size, (DRAWS, found.size))
    low, high = np.percentile(np.median(found[drawn], axis=1), (2.5, 97.5))
    return round(float(low), 3), round(float(high), 3)


def times_as_fast(slow: ArrayLike, fast: ArrayLike, *, seed: int = 0) -> Ratio:
    """Return the ratio of the medians of two columns that `interleave` measured side by side.

    The interval is the percentile bootstrap (Efron, 1979) over rounds: it draws both times of a round
    together, so that a slowdown of the machine does not count for either model.
    """
    pairs = np.array([slow, fast])
    drawn = np.random.default_rng(seed).integers(0, pairs.shape[1], (DRAWS, pairs.shape[1]))
    medians = np.median(pairs[:, drawn], axis=2)  # (2, DRAWS)
    low, high = np.percentile(medians[0] / medians[1], (2.5, 97.5))
    centre = np.median(pairs[0]) / np.median(pairs[1])
    return Ratio(*(round(float(value), 3) for value in (centre, low, high)))
