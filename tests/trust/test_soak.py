"""The first seconds of what `make soak` does for minutes: sessions that threads share, open and close."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pytest
from support.models import Models
from support.places import ROOT

from convnext_edge.targets.base import Images, Logits, Session

SECONDS = 1.0
THREADS = 4


def test_threads_that_share_sessions_and_open_their_own_get_the_same_answers(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.support.soaking import soak_sessions

    engines = [models.engine(runtime, models.quantized(runtime)) for runtime in ("openvino", "onnxruntime")]
    counts = soak_sessions(engines, seconds=SECONDS, threads=8)
    assert counts["calls"] >= 8 * 2 * 12, "each thread asks each engine 12 times at least"
    assert counts["opened"] >= 8 * 2
    assert (counts["wrong"], counts["errors"]) == (0, 0)


class Counting(Session):
    """A runtime that counts how many calls are under way at a time, and waits for others for a while."""

    runner = "the test"
    patience = 0.05  # seconds

    def __init__(self) -> None:
        self.together = threading.Barrier(THREADS)
        self.under_way = self.most = 0

    def _run(self, images: Images) -> Logits:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        with suppress(threading.BrokenBarrierError):
            self.together.wait(self.patience)
        self.under_way -= 1
        return images[:, 0, 0, :1].astype(np.float32)


class CountingMany(Counting):
    takes_threads = True
    patience = 60.0  # they come together, however busy the machine is


@pytest.mark.parametrize(("kind", "at_a_time"), [(Counting, 1), (CountingMany, THREADS)])
def test_calls_wait_for_each_other_where_the_runtime_takes_one_at_a_time(
    kind: type[Counting], at_a_time: int
) -> None:
    session = kind()
    images = np.zeros((1, 3, 2, 2), np.float32)
    threads = [threading.Thread(target=session.run, args=(images,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.most == at_a_time


@pytest.mark.parametrize(
    ("rss", "expected"),
    [([10] * 5 + [20] * 20, 0.0), (range(100, 125), 15 / 107)],
    ids=["warm-up", "leak"],
)
def test_growth_is_that_after_the_warm_up(
    rss: Sequence[int], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.measure.soak import growth

    assert growth(list(enumerate(rss)))["growth"] == pytest.approx(expected, abs=1e-4)
