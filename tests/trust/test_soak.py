"""The first seconds of what `make soak` does for minutes: sessions that threads share, open and close."""

from __future__ import annotations

import threading
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
    from benchmarks.support.soaking import Shared, soak_sessions
    from benchmarks.support.soaking_ours import opener

    engines = [models.engine(runtime, models.quantized(runtime)) for runtime in ("openvino", "onnxruntime")]
    shared = [Shared.open(*opener(engine)) for engine in engines]
    counts = soak_sessions(shared, seconds=SECONDS, threads=8)
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


def test_growth_is_told_of_pages_and_of_bytes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.measure.soak import growth

    leak = growth([(second, 100 + second, 50 + second) for second in range(25)])
    assert leak["growth"] == pytest.approx(20 / 102, abs=1e-4)
    assert leak["allocated_growth"] == pytest.approx(20 / 52, abs=1e-4)
    assert leak["slope_bytes_a_minute"] == pytest.approx(60, abs=1)
    plateau = growth([(second, min(100 + second, 110), 50) for second in range(25)])
    assert (plateau["allocated_growth"], plateau["slope_bytes_a_minute"]) == (0, 0)
    assert growth([(0, 1, 1)])["growth"] is None


def test_memory_is_told_of_pages_and_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.support.soaking import memory

    before = memory()
    kept = np.ones(2**23)
    resident, allocated = (now - then for now, then in zip(memory(), before, strict=True))
    assert resident == pytest.approx(kept.nbytes, rel=0.1)
    assert allocated == pytest.approx(kept.nbytes, rel=0.1)
