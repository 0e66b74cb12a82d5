"""Several requests of one model in flight at a time, for throughput."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from threading import Barrier
from typing import TypeAlias

from convnext_edge.closing import Closing
from convnext_edge.targets.base import Images, Session

Request: TypeAlias = tuple[float, float]  # when it began and ended, in seconds since all began


class Streams(Closing, ABC):
    """A model that is ready to run several requests at a time, as a context manager that releases it."""

    count: int  # requests in flight at a time
    threads: int  # of one request

    @abstractmethod
    def keep_busy(self, images: Images, seconds: float) -> list[list[Request]]:
        """Return the requests of each stream, one after the other until `seconds` are over, at least one.

        Raises TargetError where the runtime fails.
        """


class ThreadedStreams(Streams):
    """Sessions that are called at the same time, each by a thread of its own, which always is the same.

    sessions: one may be there several times, where its runtime takes several calls at a time.
    """

    def __init__(self, sessions: list[Session], threads: int) -> None:
        self.sessions, self.count, self.threads = sessions, len(sessions), threads
        self.pool = ThreadPoolExecutor(self.count)

    def working(self) -> AbstractContextManager[object]:
        """Return what a thread enters while it works."""
        return nullcontext()

    def keep_busy(self, images: Images, seconds: float) -> list[list[Request]]:
        """Do as the base says; a request is over when its answer is there for Python."""
        together = Barrier(self.count)

        def work(session: Session) -> list[Request]:
            found: list[Request] = []
            with self.working():
                together.wait()
                started, now = time.perf_counter(), 0.0
                while not found or now < seconds:
                    before = now
                    session.run(images)
                    now = time.perf_counter() - started
                    found.append((before, now))
            return found

        return list(self.pool.map(work, self.sessions))

    def close(self) -> None:
        """Let the threads end, and close the sessions."""
        self.pool.shutdown()
        for session in self.sessions:
            session.close()
