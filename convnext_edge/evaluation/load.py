"""What other processes took of the CPUs while models were timed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
SHORTEST = 0.3  # seconds: the kernel counts in steps of a hundredth
SPARE = 0.1  # share of the CPUs that others may take beside what is left free: a system is never quite idle
IDLE = (3, 4)  # columns of /proc/stat behind the name: idle, and idle while a disk works
GUESTS = 8  # from this column on, times are contained in earlier ones


@dataclass
class Load:
    """The CPUs that this process may use, and what of them others took on average."""

    cpus: int = 0
    others: float | None = None  # None where the system does not tell, or the span was too short

    def excess(self, threads: int) -> str:
        """Say by how much the load exceeds the CPUs where `threads` work; empty where it does not."""
        if self.others is None or self.others <= max(self.cpus - threads, 0) + SPARE * self.cpus:
            return ""
        return f"other processes took {self.others:.1f} of {self.cpus} CPUs"


@contextmanager
def watched_load() -> Iterator[Load]:
    """Yield a load that is known when the code inside is done; only Linux tells."""
    found, before, started = Load(), busy_seconds(), time.perf_counter()
    own = time.process_time()
    yield found
    after, span = busy_seconds(), time.perf_counter() - started
    if before and after and span >= SHORTEST:
        found.cpus = len(after)
        taken = sum(after.values()) - sum(before.get(name, 0.0) for name in after)
        found.others = max(taken - (time.process_time() - own), 0.0) / span


def busy_seconds() -> dict[str, float]:
    """Return how long each CPU that this process may use has worked; empty where the system does not tell."""
    try:
        lines = STAT.read_text("ascii").splitlines()
        allowed = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        per_second = os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return {}
    rows = {name: columns for name, *columns in map(str.split, lines) if name in allowed}
    return {
        name: sum(int(column) for i, column in enumerate(columns[:GUESTS]) if i not in IDLE) / per_second
        for name, columns in rows.items()
    }
