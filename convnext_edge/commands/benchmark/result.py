"""What `benchmark` measured, and how it reads on a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convnext_edge.commands.remedies import NOTHING, Remedy, after_benchmark, after_engine
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import (
    MIB,
    counted,
    device_line,
    lines,
    ran_by,
    table,
    verdict,
)
from convnext_edge.devices.description import DeviceDescription

Hint = Literal["latency", "throughput"]
SHOWN = 6  # layers in the summary: with what it says before, they fit into 24 lines
PER_DOUBLING = 8  # bins of a histogram, each 9 % wide


@dataclass(frozen=True)
class Milliseconds(Result):
    """Percentiles of single calls, in milliseconds of wall time."""

    p50: float
    p90: float
    p99: float
    min: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f}  p90 {self.p90:.2f}  p99 {self.p99:.2f}  min {self.min:.2f} ms"


@dataclass(frozen=True)
class Histogram(Result):
    """How many calls took how long: `counts[i]` of them from `edges_ms[i]` to `edges_ms[i + 1]`.

    The edges are powers of 2^(1/8), whatever was measured, so that histograms can be added and compared.
    """

    edges_ms: tuple[float, ...]  # one more than counts
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Throughput(Result):
    """Calls of several requests in flight, of candidate and reference in turns, each with as many of them."""

    streams: int  # requests in flight at a time
    threads: int  # of each
    seconds: float  # that each model was given
    requests: int  # of the candidate that were answered
    candidate_ips: float  # images a second: the median of windows of at most a second
    candidate_ips_ci95: tuple[float, float]
    reference_ips: float  # likewise, of FP32 PyTorch with as many requests in flight
    reference_ips_ci95: tuple[float, float]
    speedup: float  # ratio of the two
    speedup_ci95: tuple[float, float]
    candidate_ms: Milliseconds  # of a request, while others are in flight
    reference_ms: Milliseconds  # likewise
    candidate_histogram: Histogram
    reference_histogram: Histogram

    def rows(self) -> list[tuple[str, object]]:
        """Return the figures as rows for `lines`."""
        (low, high), (least, most) = self.candidate_ips_ci95, self.speedup_ci95
        return [
            (
                "in flight",
                f"{self.streams} requests, {counted(self.threads, 'thread')} each, for {self.seconds:g} s",
            ),
            ("throughput", f"{self.candidate_ips:.1f} images/s (95 %: {low:.1f} to {high:.1f})"),
            ("", f"{self.reference_ips:.1f} images/s of the reference, as many in flight"),
            ("", f"{self.speedup:.2f}x (95 %: {least:.2f} to {most:.2f})"),
            ("requests", self.candidate_ms),
        ]


@dataclass(frozen=True)
class LayerRow(Result):
    """The time of one layer in a call of the candidate, as its runtime counts it."""

    name: str
    operator: str  # in the runtime's own words
    kernel: str | None  # what ran it; None where the runtime does not tell
    ms: float  # mean of the calls
    share: float  # of all layers' time


@dataclass(frozen=True, kw_only=True)
class Measurement(Result):
    """What was measured with one batch size."""

    batch: int  # images in a call
    runs: int  # timed calls of each
    candidate_ms: Milliseconds
    reference_ms: Milliseconds | None  # None on a device, which has no PyTorch; so are the next two
    speedup: float | None  # ratio of the medians
    speedup_ci95: tuple[float, float] | None  # its 95 % interval, over the rounds
    reliable: bool  # False on a machine that was too busy; no gate on speed passes then
    throughput_ips: float  # images a second of the candidate: with `throughput`, those in flight
    peak_rss_bytes: int | None  # of a process that does nothing but run the candidate; None if not told
    fp16_ms: Milliseconds | None = (
        None  # of an FP16 engine of the same runtime, which INT8 has to beat on a GPU
    )
    advice: str | None = None  # then "ship INT8" or "ship FP16"
    doubt: str = ""  # why it is not reliable
    candidate_histogram: Histogram | None = None
    reference_histogram: Histogram | None = None
    throughput: Throughput | None = None  # with several requests in flight, where asked for
    layers: tuple[LayerRow, ...] = ()  # in the order that the runtime tells of them, where asked for

    @property
    def gated_speedup(self) -> float | None:
        """The speedup that `--min-speedup` is held against: that of the throughput where it was measured."""
        return self.throughput.speedup if self.throughput else self.speedup

    @property
    def memory(self) -> str:
        """The peak of memory as people read it."""
        return "unknown" if self.peak_rss_bytes is None else f"{self.peak_rss_bytes / MIB:.0f} MiB"


@dataclass(frozen=True, kw_only=True)
class Benchmark(Measurement):
    """Latencies of a candidate and of the FP32 PyTorch reference, interleaved in one run.

    Of several batch sizes, the figures are those of the first; `reliable` and `passed` are of all.
    """

    artifact: Path
    target: str
    runtime_version: str
    threads: int  # of either
    cpu: str
    isa: tuple[str, ...]  # its instruction sets that decide how INT8 runs
    passed: bool
    hint: Hint = "latency"  # what was asked for
    gates: tuple[str, ...] = ()  # what the gates are on that decided `passed`
    sweep: tuple[Measurement, ...] = ()  # of each batch size, where there are several
    device: DeviceDescription | None = None  # that the candidate ran on; None: this machine

    def summary(self) -> str:
        """Return the figures as lines."""
        told = lines(
            *ran_by(self.artifact, f"{self.target} {self.runtime_version}"),
            *device_line(self.device),
            ("CPU", self.cpu),
            ("", " ".join(self.isa)),
            *(self._sizes() if self.sweep else self._one_size()),
            *([("", f"NOT to be relied on: {self.doubt}")] if self.doubt else []),
            ("gates", verdict(self.gates, self.passed)),
            *self._remedy.rows,
        )
        return "\n".join([told, *self._tables()])

    def next_command(self) -> str:
        """Return what puts an engine that passed into an application, or else what finds a faster one."""
        if not self.passed:
            return self._remedy.command
        return after_engine(self.artifact, self.target)

    @property
    def _remedy(self) -> Remedy:
        return NOTHING if self.passed else after_benchmark(self.threads, doubted=bool(self.doubt))

    def _one_size(self) -> list[tuple[str, object]]:
        of_one = [("throughput", f"{self.throughput_ips:.1f} images/s")]
        how = "" if self.reference_ms is None else ", interleaved"
        return [
            ("calls", f"{self.runs} of batch {self.batch} with {counted(self.threads, 'thread')}{how}"),
            ("candidate", self.candidate_ms),
            *self._against_reference(),
            *(self.throughput.rows() if self.throughput else of_one),
            ("memory", f"{self.memory} at the peak"),
        ]

    def _against_reference(self) -> list[tuple[str, object]]:
        if self.speedup_ci95 is None:
            return [("reference", "none: PyTorch is not on the device; `compare --on` times FP32 engines")]
        low, high = self.speedup_ci95
        return [
            ("reference", f"{self.reference_ms}  (FP32 PyTorch)"),
            *self._fp16(),
            ("speedup", f"{self.speedup:.2f}x (95 %: {low:.2f} to {high:.2f})"),
        ]

    def _sizes(self) -> list[tuple[str, object]]:
        flight = self.throughput
        told = f"{flight.streams} requests in flight, for {flight.seconds:g} s" if flight else "one at a time"
        return [
            ("calls", f"{self.runs} of each batch size with {counted(self.threads, 'thread')}, interleaved"),
            ("throughput", told),
        ]

    def _fp16(self) -> list[tuple[str, object]]:
        if self.fp16_ms is None:
            return []
        ratio = self.fp16_ms.p50 / self.candidate_ms.p50
        return [("FP16", self.fp16_ms), ("advice", f"{self.advice}: INT8 is {ratio:.2f}x FP16")]

    def _tables(self) -> list[str]:
        tables = [sizes_table(self.sweep)] if self.sweep else []
        return tables + ([layers_table(self.layers)] if self.layers else [])


def sizes_table(rows: Sequence[Measurement]) -> str:
    """Return a table with a row for each batch size."""
    interval = ["95 %"] if rows[0].throughput else []
    header = ["batch", "p50 ms", "p99 ms", "PyTorch", "speedup", "images/s", *interval, "memory"]
    return table([header, *map(_size_row, rows)])


def _size_row(row: Measurement) -> list[str]:
    low, high = row.throughput.candidate_ips_ci95 if row.throughput else (0.0, 0.0)
    return [
        str(row.batch),
        f"{row.candidate_ms.p50:.2f}",
        f"{row.candidate_ms.p99:.2f}",
        "" if row.reference_ms is None else f"{row.reference_ms.p50:.2f}",
        f"{row.gated_speedup:.2f}x" + ("" if row.reliable else " ?"),
        f"{row.throughput_ips:.1f}",
        *([f"{low:.1f}-{high:.1f}"] if row.throughput else []),
        row.memory,
    ]


def layers_table(layers: Sequence[LayerRow]) -> str:
    """Return a table of the slowest layers, and what the others take together."""
    slowest = sorted(layers, key=lambda layer: -layer.ms)
    rows = [(_cut(row.name, 34), _cut(row.kernel or row.operator, 22), *_time(row.ms, row.share))
            for row in slowest[:SHOWN]]  # fmt: skip
    others = slowest[SHOWN:]
    if others:
        sums = _time(sum(row.ms for row in others), sum(row.share for row in others))
        rows.append((f"{len(others)} others", "", *sums))
    return table([("slowest layers", "kernel" if slowest[0].kernel else "operator", "ms", "share"), *rows])


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _time(ms: float, share: float) -> tuple[str, str]:
    return f"{ms:.3f}", f"{share:.1%}"


def percentiles(times: Sequence[float]) -> Milliseconds:
    """Return the percentiles of a column of milliseconds."""
    import numpy as np

    p50, p90, p99 = (round(float(value), 4) for value in np.percentile(times, (50, 90, 99)))
    return Milliseconds(p50=p50, p90=p90, p99=p99, min=round(min(times), 4))


def histogram(times: Sequence[float]) -> Histogram:
    """Return how many of the times (milliseconds) are in each bin."""
    bins = [math.floor(PER_DOUBLING * math.log2(time)) for time in times]
    first, last = min(bins), max(bins)
    counts = [0] * (last - first + 1)
    for number in bins:
        counts[number - first] += 1
    edges = (float(f"{2 ** (number / PER_DOUBLING):.6g}") for number in range(first, last + 2))
    return Histogram(tuple(edges), tuple(counts))
