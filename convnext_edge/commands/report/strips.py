"""Charts with one line for each model: figures with their intervals, and distributions of latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from convnext_edge.commands.report.charts import Bar, LogScale, Scale, Tick, histogram_bars
from convnext_edge.commands.report.groups import Group, Line
from convnext_edge.commands.report.table import doubt_of
from convnext_edge.commands.rows import speedup_of


@dataclass(frozen=True)
class Plot:
    """A chart of one figure."""

    title: str
    key: str  # of the row, or of its metrics
    form: str  # how a value is written, after it was multiplied by `factor`
    unit: str = ""
    factor: float = 1.0
    interval: str | None = None  # key of the interval
    low: str | None = None  # key of the metric down to which a line goes
    line: float | None = None  # value to mark with a vertical line
    bars: bool = False  # from zero, in place of dots


@dataclass(frozen=True)
class Mark:
    """A model's line in a chart; places are in percent of the axis."""

    line: Line
    text: str  # the value as people read it
    at: float = 0.0
    low: float | None = None  # lower end of the interval, None without one
    high: float | None = None  # upper end
    bars: tuple[Bar, ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class Strips:
    """A chart with a line for each model."""

    title: str
    unit: str
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    rule: float | None = None  # where a vertical line is
    from_zero: float | None = None  # where bars begin; None for dots


SAME = Plot("Same top-1 as FP32", "agreement", "{:.2f}%", "%", 100.0, "agreement_ci95")
LOST = Plot("Top-1 lost", "drop_points", "{:+.2f}", "points", interval="drop_ci95_points", line=0.0)
# Of each task, the charts beside those of SQNR and speed.
OF_TASKS: dict[str, tuple[Plot, ...]] = {
    "classify": (SAME, LOST),
    "multilabel": (
        Plot("Same decisions as FP32", "agreement", "{:.2f}%", "%", 100.0),
        Plot("Mean average precision lost", "drop_points", "{:+.2f}", "points", line=0.0),
    ),
    "segment": (
        Plot("Same class of a pixel as FP32", "agreement", "{:.2f}%", "%", 100.0),
        Plot("Mean IoU lost", "drop_points", "{:+.2f}", "points", line=0.0),
    ),
    "detect": (
        Plot("Same object as FP32", "agreement", "{:.2f}%", "%", 100.0),
        Plot("Average precision of boxes or masks lost", "drop_points", "{:+.2f}", "points", line=0.0),
    ),
    "regress": (Plot("R2 against FP32", "r2", "{:.5f}"),),
    "embed": (
        Plot("Cosine to FP32, down to the 1st percentile", "cosine_mean", "{:.5f}", low="cosine_p1"),
        Plot("Nearest neighbours kept, of 10", "neighbours_kept", "{:.1f}%", "%", 100.0),
        Plot("Accuracy by the 10 nearest neighbours lost", "drop_points", "{:+.2f}", "points", line=0.0),
    ),
}
NOISY = {
    "embed": "embedding",
    "regress": "values",
    "features": "worst map",
    "detect": "worst output",
}  # else the logits
FASTER = Plot("Times as fast as FP32 PyTorch", "speedup", "{:.2f}x", "x", interval="speedup_ci95", line=1.0)


def strips(group: Group) -> Iterator[Strips]:
    """Yield the charts that have values.

    Those of accuracy leave FP32 out, because it loses nothing; that of speed includes it.
    """
    checked = [line for line in group.lines if line.row["images"] is not None]
    quantized = [line for line in checked if line.row["precision"] != "fp32"]
    noise = Plot(f"Signal over quantization noise, {NOISY.get(group.task, 'logits')}", "sqnr_db", "{:.1f} dB",
                 "dB", bars=True)  # fmt: skip
    for plot in (*OF_TASKS.get(group.task, ()), noise):
        yield from chart(plot, quantized)
    yield from chart(FASTER, group.lines)
    yield from latencies(group.lines)


def chart(plot: Plot, lines: Sequence[Line]) -> Iterator[Strips]:
    """Yield the chart of a figure, where a line knows it."""
    known = [(line, found) for line in lines if (found := _values(plot, line.row)) is not None]
    if not known:
        return
    marked = [0.0 if plot.bars else None, plot.line]
    scale = Scale.over(
        [value for _, found in known for value in found] + [v for v in marked if v is not None]
    )
    marks = []
    for line, (value, *ends) in known:
        low, high = (scale(end) for end in ends) if ends else (None, None)
        timed = plot is FASTER
        text = speedup_of(line.row) if timed else plot.form.format(value)
        marks.append(Mark(line, text, scale(value), low, high, doubt=doubt_of(line.row) if timed else ""))
    rule = None if plot.line is None else scale(plot.line)
    yield Strips(
        plot.title, plot.unit, tuple(marks), tuple(scale.marks()), rule, scale(0) if plot.bars else None
    )


def _values(plot: Plot, row: dict[str, Any]) -> tuple[float, ...] | None:
    """Return the figure, and the ends of its interval where it has one."""
    metrics = row["metrics"] or {}
    value = metrics.get(plot.key, row.get(plot.key))
    if value is None:
        return None
    ends = row.get(plot.interval) if plot.interval else None
    if plot.low and metrics.get(plot.low) is not None:
        ends = (metrics[plot.low], value)
    return tuple(plot.factor * number for number in (value, *(ends or ())))


def latencies(lines: Sequence[Line]) -> Iterator[Strips]:
    """Yield the chart of how many calls took how long."""
    known = [line for line in lines if line.row.get("candidate_histogram")]
    if not known:
        return
    found = [line.row["candidate_histogram"] for line in known]
    scale = LogScale.over([edge for counted in found for edge in counted["edges_ms"]])
    marks = []
    for line, counted in zip(known, found, strict=True):
        ms = line.row["candidate_ms"]
        text = f"p50 {ms['p50']:.2f}, p99 {ms['p99']:.2f} ms"
        bars = tuple(histogram_bars(counted["edges_ms"], counted["counts"], scale))
        marks.append(Mark(line, text, scale(min(max(ms["p50"], scale.least), scale.largest)), bars=bars,
                          doubt=doubt_of(line.row)))  # fmt: skip
    yield Strips("Latency of single calls: how many took how long", "ms", tuple(marks), tuple(scale.marks()))
