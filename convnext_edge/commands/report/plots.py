"""Which charts a model gets, by its task and by what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convnext_edge.commands.report.charts import Mark, bar_chart, interval_chart
from convnext_edge.commands.report.markup import Element
from convnext_edge.commands.report.table import how
from convnext_edge.commands.rows import Row, place_of, speedup_of, task_of


@dataclass(frozen=True)
class Plot:
    """A chart of one metric of a task."""

    title: str
    key: str  # of the metric
    form: str  # how a value is written, after it was multiplied by `factor`
    unit: str = ""
    factor: float = 1.0
    low: str | None = None  # key of the metric down to which a line goes
    line: float | None = None  # value to mark with a vertical line


# Of tasks other than classify, the charts beside those of SQNR and speed.
OF_TASKS: dict[str, tuple[Plot, ...]] = {
    "multilabel": (
        Plot("Same decisions as FP32", "agreement", "{:.2f}%", "%", 100.0),
        Plot("Mean average precision lost", "drop_points", "{:+.2f}", "points", line=0.0),
    ),
    "regress": (Plot("R2 against FP32", "r2", "{:.5f}"),),
    "embed": (
        Plot(
            "Cosine to FP32, with a line down to the 1st percentile",
            "cosine_mean",
            "{:.5f}",
            low="cosine_p1",
        ),
        Plot("Nearest neighbours kept, of 10", "neighbours_kept", "{:.1f}%", "%", 100.0),
        Plot("Accuracy by the 10 nearest neighbours lost", "drop_points", "{:+.2f}", "points", line=0.0),
    ),
}
NOISY = {"embed": "embedding", "regress": "values", "features": "worst map"}  # else the logits


def plots(rows: Sequence[Row]) -> Iterator[Element]:
    """Yield the charts that have values, of rows of one task.

    Those of accuracy leave FP32 out, because it loses nothing; that of speed includes it.
    """
    quantized = [row for row in rows if row["precision"] != "fp32" and row["images"] is not None]
    noisy = [row for row in quantized if row["sqnr_db"] is not None]
    timed = [row for row in rows if row["speedup"] is not None]
    yield from of_classes([row for row in quantized if row["agreement"] is not None])
    for plot in OF_TASKS.get(task_of(rows), ()):
        yield from of_metric(plot, quantized)
    if noisy:
        marks = [mark(row, row["sqnr_db"], f"{row['sqnr_db']:.1f} dB") for row in noisy]
        yield bar_chart(
            f"Signal over quantization noise, {NOISY.get(task_of(rows), 'logits')}", marks, unit="dB"
        )
    if timed:
        marks = [
            mark(row, row["speedup"], speedup_of(row), *(row.get("speedup_ci95") or ())) for row in timed
        ]
        yield interval_chart("Times as fast as FP32 PyTorch, with 95 % intervals", marks, unit="x", line=1)


def of_classes(rows: Sequence[Row]) -> Iterator[Element]:
    """Yield the charts of a classifier."""
    if rows:
        title = "Same top-1 as FP32, with 95 % intervals"
        yield interval_chart(title, [share(row) for row in rows], unit="%")
    labelled = [row for row in rows if row["drop_points"] is not None]
    if labelled:
        title = "Top-1 lost, with paired 95 % intervals"
        yield interval_chart(title, [drop(row) for row in labelled], unit="points", line=0)


def of_metric(plot: Plot, rows: Sequence[Row]) -> Iterator[Element]:
    """Yield the chart of a metric, where a row knows it."""
    marks = []
    for row in rows:
        metrics = row["metrics"] or {}
        if metrics.get(plot.key) is not None:
            value, low = plot.factor * metrics[plot.key], metrics.get(plot.low)
            ends = () if low is None else (plot.factor * low, value)
            marks.append(mark(row, value, plot.form.format(value), *ends))
    if marks:
        yield interval_chart(plot.title, marks, unit=plot.unit, line=plot.line)


def share(row: Row) -> Mark:
    """Return the agreement with the reference, in percent."""
    low, high = (100 * end for end in row["agreement_ci95"])
    return mark(row, 100 * row["agreement"], f"{row['agreement']:.2%}", low, high)


def drop(row: Row) -> Mark:
    """Return the accuracy drop, in percentage points."""
    return mark(row, row["drop_points"], f"{row['drop_points']:+.2f}", *row["drop_ci95_points"])


def mark(row: Row, value: float, text: str, low: float | None = None, high: float | None = None) -> Mark:
    """Return a row's line in a chart, with its name and colour."""
    there = f" · {place_of(row)}" if place_of(row) else ""
    return Mark(f"{how(row)} · {row['target']}{there}", row["colour"], value, text, low, high)
