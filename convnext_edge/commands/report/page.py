"""The page: a table and charts for each model, then how and on which machine they were measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convnext_edge.commands.report.markup import Element, document, element
from convnext_edge.commands.report.plots import plots
from convnext_edge.commands.report.table import make_table
from convnext_edge.commands.rows import Row, task_of
from convnext_edge.evaluation.records import Record
from convnext_edge.version import __version__

STYLE = Path(__file__).with_name("style.css")
# Metrics of the reference, and how they read.
OF_REFERENCES = {"map_reference": "mAP", "knn_reference": "accuracy by the 10 nearest neighbours"}
COLOURS = 5  # number of colours in the style sheet


def make_page(rows: Sequence[Row], records: Sequence[Record]) -> str:
    """Make the page.

    rows: what `join_rows` returns. records: what the rows were joined from.
    """
    targets = sorted({row["target"] for row in rows})
    models = sorted({row["model"] for row in rows})
    coloured = [{**row, "colour": targets.index(row["target"]) % COLOURS} for row in with_task(rows)]
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
    for key in sorted({(row["model"], row["task"]) for row in coloured}):
        body.extend(section(key[0], [row for row in coloured if (row["model"], row["task"]) == key]))
    body.extend(measured(records))
    return document(element("html", head, body, lang="en"))


def with_task(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with a task also where they were only timed: that of their model."""
    of_models = {row["model"]: row["task"] for row in rows if row["task"]}
    return [{**row, "task": row["task"] or of_models.get(row["model"], "classify")} for row in rows]


def section(model: str, rows: Sequence[Row]) -> Iterator[Element]:
    """Yield the title, table and charts of a model."""
    ordered = sorted(rows, key=lambda row: (row["target"], row["precision"] != "fp32", row["file"]))
    yield element("h2", model)
    yield element("p", reference(ordered), class_="soft")
    yield make_table(ordered)
    yield element("div", *plots(ordered), class_="charts")


def reference(rows: Sequence[Row]) -> str:
    """Describe the images and the accuracy of the reference model, and the task where it is not classify."""
    known = next((row for row in rows if row["reference_top1"] is not None), None)
    task = task_of(rows)
    images = sorted({(Path(row["data"]).name, row["images"]) for row in rows if row["data"] is not None})
    facts = [] if task == "classify" else [f"Task {task}"]
    facts += [f"{count} images of {name}" for name, count in images]
    if known is not None:
        facts.append(
            f"FP32 PyTorch: top-1 {known['reference_top1']:.2%}, top-5 {known['reference_top5']:.2%}"
        )
    metrics = [row["metrics"] or {} for row in rows]
    for key, name in OF_REFERENCES.items():
        value = next((found[key] for found in metrics if found.get(key) is not None), None)
        facts += [] if value is None else [f"FP32 PyTorch: {name} {value:.2%}"]
    return "; ".join(facts)


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
    for told in distinct(device_text(record["result"]["device"]) for record in on_devices(records)):
        yield element("p", told)
    for tools in distinct(record["tools"] for record in records):
        yield element("p", ", ".join(f"{name} {version}" for name, version in tools.items()) + ".")
    commands = distinct(f"{record['date'][:16]}  {record['command']}" for record in records)
    yield element(
        "details", element("summary", "Commands"), element("pre", element("code", "\n".join(commands)))
    )


def on_devices(records: Sequence[Record]) -> list[Record]:
    """Return the results that are from a device."""
    return [record for record in records if record["result"].get("device")]


def device_text(device: dict[str, Any]) -> str:
    """Return what is known of a device, as a paragraph."""
    facts = [f"machine {device['machine']}", device["kernel"], device["libc"]]
    facts += [f"governor {device['governor']}"] if device["governor"] else []
    facts += [f"up to {device['max_clock_mhz']:.0f} MHz"] if device["max_clock_mhz"] else []
    simulated = f" Simulated by {device['runner']}: its times are no times." if device["emulated"] else ""
    return f"{device['url']} ({device['name']}): {', '.join(filter(None, facts))}.{simulated}"


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order; the values need not be hashable."""
    seen: list[Any] = []
    for value in values:
        if value not in seen:
            seen.append(value)
    return seen
