"""Throughput: what is counted while several calls are in flight."""

from __future__ import annotations

import time
from threading import Lock, get_ident

import numpy as np
import pytest

from convnext_edge.errors import UsageError
from convnext_edge.evaluation import timing
from convnext_edge.evaluation.throughput import FEWEST, InFlight, in_flight
from convnext_edge.targets.base import Images, Outputs, Session
from convnext_edge.targets.streams import ThreadedStreams

IMAGES = np.zeros((1, 3, 4, 4), np.float32)


class Sleeper(Session):
    """A model that takes `seconds` a call."""

    runner = "a stand-in"
    takes_threads = True

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.callers: list[int] = []
        self.lock, self.active, self.most = Lock(), 0, 0

    def _run(self, images: Images) -> Outputs:
        self.callers.append(get_ident())
        with self.lock:
            self.active += 1
            self.most = max(self.most, self.active)
        time.sleep(self.seconds)
        with self.lock:
            self.active -= 1
        return (np.zeros((len(images), 10), np.float32),)


def test_a_window_counts_calls_by_the_time_of_each_stream() -> None:
    counted = InFlight()
    counted.add([[(0.0, 1.0), (1.0, 2.0)], [(0.0, 0.5), (0.5, 1.5), (2.0, 3.0)]])
    assert counted.rates == [2.0]  # 2 in 2 s beside 3 in 3 s
    assert counted.milliseconds == [1000, 1000, 500, 1000, 1000]


def test_calls_of_a_model_are_in_flight_at_the_same_time() -> None:
    session = Sleeper(0.01)
    with ThreadedStreams([session, session], 1) as streams:
        (found,) = in_flight([(streams, IMAGES)], 0.1)
    assert session.most == 2
    assert len(set(session.callers)) == 2
    assert len(found.rates) == FEWEST


def test_models_take_turns_and_are_counted_apart() -> None:
    slow, fast = Sleeper(0.02), Sleeper(0.002)
    with ThreadedStreams([slow, slow], 1) as two, ThreadedStreams([fast], 1) as one:
        of_slow, of_fast = in_flight([(two, IMAGES), (one, IMAGES)], 0.5)
    assert min(of_slow.milliseconds) >= 20
    assert min(of_fast.milliseconds) >= 2
    assert max(of_slow.rates) <= 2 / 0.02  # two calls of 20 ms in flight
    assert len(of_slow.rates) == len(of_fast.rates)
    assert len(slow.callers) == len(of_slow.milliseconds) + 2 * timing.WARM_UP


def test_the_interval_of_a_median_is_as_wide_as_the_values_differ() -> None:
    assert timing.interval_of_median([5.0] * 9) == (5.0, 5.0)
    low, high = timing.interval_of_median(list(range(101)))
    # of 101 values in order, by the binomial distribution: the 41st and the 61st
    assert (low, high) == (pytest.approx(40, abs=3), pytest.approx(60, abs=3))


def test_rounds_end_when_their_time_is_over() -> None:
    started = time.perf_counter()
    columns = timing.interleave((lambda: time.sleep(0.004), lambda: None), 10**6, seconds=0.1)
    assert time.perf_counter() - started >= 0.2
    assert 1 <= len(columns[0]) == len(columns[1]) <= 0.2 / 0.004 + 1


def test_more_requests_than_threads_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--streams 3 are more than the threads that run them: 2"):
        timing.check_streams(3, 2)
    timing.check_streams(2, 2)
