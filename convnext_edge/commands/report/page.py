"""The page: a table and charts for each model, then how and on which machine they were measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convnext_edge.commands.report.charts import Mark, bar_chart, interval_chart
from convnext_edge.commands.report.markup import Element, document, element
from convnext_edge.commands.report.table import how, make_table
from convnext_edge.commands.rows import Row, speedup_of
from convnext_edge.evaluation.records import Record
from convnext_edge.version import __version__

STYLE = Path(__file__).with_name("style.css")
COLOURS = 5  # number of colours in the style sheet


def make_page(rows: Sequence[Row], records: Sequence[Record]) -> str:
    """Make the page.

    rows: what `join_rows` returns. records: what the rows were joined from.
    """
    targets = sorted({row["target"] for row in rows})
    models = sorted({row["model"] for row in rows})
    coloured = [{**row, "colour": targets.index(row["target"]) % COLOURS} for row in rows]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"convnext-edge: {', '.join(models)}"),
        element("style", STYLE.read_text(encoding="utf-8")),
    )
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    body = element(
        "body",
        element("h1", "ConvNeXt engines against FP32 PyTorch"),
        element("p", f"Written by convnext-edge {__version__} on {now}.", class_="soft"),
    )
    for model in models:
        body.extend(section(model, [row for row in coloured if row["model"] == model]))
    body.extend(measured(records))
    return document(element("html", head, body, lang="en"))


def section(model: str, rows: Sequence[Row]) -> Iterator[Element]:
    """Yield the title, table and charts of a model."""
    ordered = sorted(rows, key=lambda row: (row["target"], row["precision"] != "fp32", row["file"]))
    yield element("h2", model)
    yield element("p", reference(ordered), class_="soft")
    yield make_table(ordered)
    yield element("div", *charts(ordered), class_="charts")


def reference(rows: Sequence[Row]) -> str:
    """Describe the images and the accuracy of the reference model."""
    known = next((row for row in rows if row["reference_top1"] is not None), None)
    images = sorted({(Path(row["data"]).name, row["images"]) for row in rows if row["data"] is not None})
    facts = [f"{count} images of {name}" for name, count in images]
    if known is not None:
        facts.append(
            f"FP32 PyTorch: top-1 {known['reference_top1']:.2%}, top-5 {known['reference_top5']:.2%}"
        )
    return "; ".join(facts)


# --- charts --------------------------------------------------------------------------------------


def charts(rows: Sequence[Row]) -> Iterator[Element]:
    """Yield the charts that have values.

    Those of accuracy leave FP32 out, because it loses nothing; that of speed includes it.
    """
    quantized = [row for row in rows if row["precision"] != "fp32" and row["agreement"] is not None]
    labelled = [row for row in quantized if row["drop_points"] is not None]
    noisy = [row for row in quantized if row["sqnr_db"] is not None]
    timed = [row for row in rows if row["speedup"] is not None]
    if quantized:
        title = "Same top-1 as FP32, with 95 % intervals"
        yield interval_chart(title, [share(row) for row in quantized], unit="%")
    if labelled:
        title = "Top-1 lost, with paired 95 % intervals"
        yield interval_chart(title, [drop(row) for row in labelled], unit="points", line=0)
    if noisy:
        marks = [mark(row, row["sqnr_db"], f"{row['sqnr_db']:.1f} dB") for row in noisy]
        yield bar_chart("Signal over quantization noise, logits", marks, unit="dB")
    if timed:
        marks = [
            mark(row, row["speedup"], speedup_of(row), *(row.get("speedup_ci95") or ())) for row in timed
        ]
        yield interval_chart("Times as fast as FP32 PyTorch, with 95 % intervals", marks, unit="x", line=1)


def share(row: Row) -> Mark:
    """Return the agreement with the reference, in percent."""
    low, high = (100 * end for end in row["agreement_ci95"])
    return mark(row, 100 * row["agreement"], f"{row['agreement']:.2%}", low, high)


def drop(row: Row) -> Mark:
    """Return the accuracy drop, in percentage points."""
    return mark(row, row["drop_points"], f"{row['drop_points']:+.2f}", *row["drop_ci95_points"])


def mark(row: Row, value: float, text: str, low: float | None = None, high: float | None = None) -> Mark:
    """Return a row's line in a chart, with its name and colour."""
    return Mark(f"{how(row)} · {row['target']}", row["colour"], value, text, low, high)


# --- how and where -------------------------------------------------------------------------------


def measured(records: Sequence[Record]) -> Iterator[Element]:
    """Yield how the figures were measured: the CPUs, versions and commands, each of them once."""
    yield element("h2", "How it was measured")
    yield element(
        "p",
        "Every engine is held against the FP32 PyTorch model on the same images. Latency is that of single"
        " calls, engine and PyTorch in turns. Milliseconds and, on a busy machine, ratios depend on what else"
        " the machine did; those marked with ? are not to be relied on. Intervals are 95 %: Wilson's for"
        " agreement, paired for the drop, bootstrapped over the rounds for the speedup.",
    )
    for cpu in distinct(record["cpu"] for record in records):
        saturates = "can saturate (no VNNI)" if cpu["int8_saturates"] else "does not saturate"
        yield element("p", element("b", cpu["name"]), f" ({' '.join(cpu['isa'])}): INT8 {saturates}.")
    for tools in distinct(record["tools"] for record in records):
        yield element("p", ", ".join(f"{name} {version}" for name, version in tools.items()) + ".")
    commands = distinct(f"{record['date'][:16]}  {record['command']}" for record in records)
    yield element(
        "details", element("summary", "Commands"), element("pre", element("code", "\n".join(commands)))
    )


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order; the values need not be hashable."""
    seen: list[Any] = []
    for value in values:
        if value not in seen:
            seen.append(value)
    return seen
