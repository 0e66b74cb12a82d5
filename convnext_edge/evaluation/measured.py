"""What timing a candidate found, here or on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convnext_edge.cpu import Cpu
from convnext_edge.devices.description import DeviceDescription
from convnext_edge.evaluation import timing
from convnext_edge.evaluation.load import Load
from convnext_edge.evaluation.timing import Ratio, times_as_fast

Column = Sequence[float]  # milliseconds of single calls


@dataclass(frozen=True)
class Measured:
    """Milliseconds of single calls, and where and how they were measured."""

    candidate: Column
    load: Load  # while they were measured
    cpu: Cpu
    threads: int
    peak_rss_bytes: int | None
    runtime_version: str
    reference: Column | None = None  # None on a device, which has no PyTorch
    rival: Column | None = None  # of FP16 in the same runtime
    device: DeviceDescription | None = None

    @property
    def speedup(self) -> Ratio | None:
        """How many times as fast as the reference the candidate is."""
        return None if self.reference is None else times_as_fast(self.reference, self.candidate)

    @property
    def doubt(self) -> str:
        """Why the times are not to be relied on; empty where they are."""
        columns = [column for column in (self.reference, self.candidate, self.rival) if column is not None]
        return timing.doubt(columns, self.load, threads=self.threads)
