"""What is known of each contender, and how it stands against ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from convnext_edge.evaluation.timing import Ratio, times_as_fast

Column = Sequence[float]


@dataclass(frozen=True)
class Against:
    """How a rival stands against an engine of ours."""

    name: str  # ours: of the same runtime, else the fastest of ours
    times_as_fast: float  # as ours: ratio of the medians, above 1 where the rival is faster
    times_as_fast_ci95: tuple[float, float]
    faster: bool  # the whole interval is above 1
    closer: bool  # its SQNR is higher

    @property
    def beaten(self) -> bool:
        """Whether ours is neither as fast nor as close."""
        return self.faster and self.closer


@dataclass(frozen=True)
class RivalRow:
    """A contender's figures; all are None where it failed."""

    name: str
    runtime: str
    ours: bool
    command: str
    source: str
    version: str | None = None  # of the package
    failed: str | None = None  # how
    candidate_top1: float | None = None
    drop_points: float | None = None
    drop_ci95_points: tuple[float, float] | None = None
    agreement: float | None = None
    sqnr_db: float | None = None  # None where it answers exactly as the reference, too
    p50_ms: float | None = None
    p99_ms: float | None = None
    min_ms: float | None = None
    throughput_ips: float | None = None  # images a second, one call after the other
    idle_cpu_ms: float | None = None  # of CPU in the pause behind a call
    bytes: int | None = None
    peak_rss_bytes: int | None = None
    seconds: float | None = None  # to quantize
    against: Against | None = None  # of rivals alone

    @property
    def label(self) -> str:
        """The name with the runtime."""
        return f"{self.name} in {self.runtime}"


def judge(rows: Sequence[RivalRow], times: Mapping[int, Column]) -> list[RivalRow]:
    """Return the rows with `against`, where there is something of ours to hold them against.

    times: milliseconds of each call, round by round, of those that did not fail, by the number of the row.
    """
    ours = [number for number in times if rows[number].ours]
    judged = list(rows)
    for number in times:
        if ours and number not in ours:
            own = opponent(rows, number, ours)
            judged[number] = replace(
                rows[number], against=stand(rows[number], rows[own], times_as_fast(times[own], times[number]))
            )
    return judged


def opponent(rows: Sequence[RivalRow], number: int, ours: Sequence[int]) -> int:
    """Return the number of the fastest of ours in the same runtime, or in any where there is none."""
    same = [own for own in ours if rows[own].runtime == rows[number].runtime]
    return min(same or ours, key=lambda own: rows[own].p50_ms or 0.0)


def stand(row: RivalRow, own: RivalRow, ratio: Ratio) -> Against:
    """Hold a rival against one of ours. ratio: how many times as fast the rival is."""
    sqnr, own_sqnr = (math.inf if found.sqnr_db is None else found.sqnr_db for found in (row, own))
    return Against(own.label, ratio.value, (ratio.low, ratio.high), ratio.low > 1, sqnr > own_sqnr)
