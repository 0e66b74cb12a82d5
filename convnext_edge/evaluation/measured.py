"""What timing a candidate on a device found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convnext_edge.cpu import Cpu
from convnext_edge.devices.description import DeviceDescription
from convnext_edge.evaluation import timing
from convnext_edge.evaluation.load import Load

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
    device: DeviceDescription

    @property
    def doubt(self) -> str:
        """Why the times are not to be relied on; empty where they are."""
        return timing.doubt([self.candidate], self.load, threads=self.threads)
