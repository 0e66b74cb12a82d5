"""One turn of several models that are timed in turns, each in a process of its own.

It needs nothing but Python: it runs in the environments of the rivals too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

SETTLE = 0.1  # seconds in which threads that wait for the next call fall asleep
WARM_UP = 3  # calls


class Turn(NamedTuple):
    """Milliseconds of one call on the wall, of CPU in the pause behind it, and of CPU in the call."""

    milliseconds: float
    idle_cpu_ms: float
    cpu_ms: float


def take_turn(call: Callable[[], object], *, fills: bool = True) -> Turn:
    """Time one call. The call before it is not timed: it fills the caches that others emptied.

    fills: whether there is one. A long call fills them in a small part of itself.
    """
    if fills:
        call()
    started, before = time.perf_counter(), time.process_time()
    call()
    milliseconds, behind = 1000 * (time.perf_counter() - started), time.process_time()
    time.sleep(SETTLE)
    return Turn(milliseconds, 1000 * (time.process_time() - behind), 1000 * (behind - before))
