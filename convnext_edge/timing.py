"""Models timed in turn: on a busy machine only ratios from one interleaved run count."""

from __future__ import annotations

import time
from collections.abc import Callable

from convnext_edge.progress import track

WARM_UP = 3
SETTLE = 0.002  # seconds between two models: lets the worker threads of the first fall asleep


def interleave(models: tuple[Callable[[], object], ...], runs: int) -> list[list[float]]:
    """Milliseconds of `runs` calls of each model, in turn, so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in models]
    for turn in track(range(-WARM_UP, runs), "timing", total=WARM_UP + runs):
        for column, call in zip(times, models, strict=True):
            time.sleep(SETTLE)
            started = time.perf_counter()
            call()
            if turn >= 0:
                column.append(1000 * (time.perf_counter() - started))
    return times
