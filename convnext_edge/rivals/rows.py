"""What is known of each contender, and how it stands against ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from convnext_edge.evaluation.timing import times_as_fast


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
    milliseconds: tuple[float, ...] = field(default=(), repr=False)  # of each call, round by round

    @property
    def label(self) -> str:
        """The name with the runtime."""
        return f"{self.name} in {self.runtime}"


def judge(rows: Sequence[RivalRow]) -> list[RivalRow]:
    """Return the rows with `against`, where there is something of ours to hold them against."""
    ours = [row for row in rows if row.ours and row.milliseconds]
    return [
        replace(row, against=stand(row, opponent(row, ours)))
        if ours and row.milliseconds and not row.ours
        else row
        for row in rows
    ]


def opponent(row: RivalRow, ours: Sequence[RivalRow]) -> RivalRow:
    """Return the fastest of ours in the same runtime, or in any where there is none."""
    same = [own for own in ours if own.runtime == row.runtime]
    return min(same or ours, key=lambda own: own.p50_ms or 0.0)


def stand(row: RivalRow, own: RivalRow) -> Against:
    """Hold a rival against one of ours."""
    ratio = times_as_fast(own.milliseconds, row.milliseconds)
    sqnr, own_sqnr = (float("inf") if r.sqnr_db is None else r.sqnr_db for r in (row, own))
    return Against(own.label, ratio.value, (ratio.low, ratio.high), ratio.low > 1, sqnr > own_sqnr)
