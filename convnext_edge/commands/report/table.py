"""The table: one line for each model, one column for each figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from convnext_edge.commands.report.groups import Group
from convnext_edge.commands.rows import OF_A_MAP, Row, place_of, speedup_of
from convnext_edge.commands.text import MIB


@dataclass(frozen=True)
class Cell:
    """What a table shows of a figure."""

    text: str
    below: str = ""  # in small letters
    doubt: str = ""  # in a word or two, that it is not to be relied on; `notes_of` tells why
    kind: Literal["", "good", "bad"] = ""


NOTHING = Cell("-")
BUSY = "busy machine"


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    title: str
    below: str  # of the title, in small letters
    cell: Callable[[Row], Cell]  # what it shows of a row


def columns_of(group: Group) -> list[Column]:
    """Return the columns that a group's table has; of other tasks than classify, those that have a value."""
    return [*COLUMNS, *columns_of_task(group.task, group.rows), *MEASURED]


def top1(row: Row) -> Cell:
    """Show the accuracy, and below it the drop with its interval, in percentage points."""
    if row["candidate_top1"] is None:
        return NOTHING
    low, high = row["drop_ci95_points"]
    lost = f"{row['drop_points']:+.2f} lost ({low:+.2f} to {high:+.2f})"
    return Cell(f"{row['candidate_top1']:.2%}", lost, "doubtful" if row["warnings"] else "")


def agreement(row: Row) -> Cell:
    """Show the agreement with the reference, and below it the interval."""
    if row["agreement"] is None:
        return NOTHING
    low, high = row["agreement_ci95"]
    return Cell(f"{row['agreement']:.2%}", f"{low:.2%} to {high:.2%}")


def of_task(title: tuple[str, str], key: str, form: str, *below: tuple[str, str]) -> Column:
    """Make a column of a metric of a task, and below it others; nothing where the metric is not known.

    title: and what stands below it. form: how the value is written. below: the key of another metric, and
    how that is written.
    """

    def cell(row: Row) -> Cell:
        metrics = row["metrics"] or {}
        if metrics.get(key) is None:
            return NOTHING
        known = [(metrics[name], how_written) for name, how_written in below if metrics.get(name) is not None]
        shown = ", ".join(how_written.format(value) for value, how_written in known)
        return Cell(form.format(metrics[key]), shown)

    return Column(*title, cell)


def columns_of_task(task: str, rows: Sequence[Row]) -> list[Column]:
    """Return the columns of a task; of other tasks than classify, those that have a value."""
    if task == "classify":
        return list(OF_CLASSES)
    columns = list(OF_TASKS.get(task, ()))
    if task == "features":
        maps = dict.fromkeys(key for row in rows for key in row["metrics"] or {} if key.endswith(OF_A_MAP))
        columns += [map_column(key.removesuffix(OF_A_MAP)) for key in maps]
    return [column for column in columns if any(column.cell(row) != NOTHING for row in rows)]


def map_column(name: str) -> Column:
    """Return the column of one of several maps of features: its SQNR, and below it the cosine."""
    return of_task((name, "cosine"), f"{name}_sqnr_db", "{:.1f} dB", (f"{name}_cosine", "{:.5f}"))


def sqnr(row: Row) -> Cell:
    """Show the SQNR in dB, or that the outputs are exactly the reference's; below it that of each output.

    Maps of features have columns of their own.
    """
    if row["images"] is None:
        return NOTHING
    each = {} if row["task"] == "features" else row["metrics"] or {}
    told = [
        f"{key.removesuffix(OF_A_MAP)} {value:.1f}"
        for key, value in each.items()
        if key.endswith(OF_A_MAP) and value is not None
    ]
    return Cell("exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f} dB", ", ".join(told))


def latency(row: Row) -> Cell:
    """Show the median milliseconds of a call, and below them batch and threads."""
    if row["candidate_ms"] is None:
        return NOTHING
    threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    times = f"p99 {row['candidate_ms']['p99']:.2f}; batch {row['batch']}, {threads}"
    return Cell(f"{row['candidate_ms']['p50']:.2f} ms", times, BUSY if doubt_of(row) else "")


def speedup(row: Row) -> Cell:
    """Show how many times as fast as the reference it is, and below that the interval and FP32's time."""
    if row["speedup"] is None:
        return NOTHING
    of = f"FP32 {row['reference_ms']['p50']:.2f} ms"
    if row.get("speedup_ci95") is not None:
        low, high = row["speedup_ci95"]
        of = f"{low:.2f} to {high:.2f}; {of}"
    return Cell(speedup_of(row), of)


def doubt_of(row: Row) -> str:
    """Say why the times of a row are not to be relied on; empty where they are, or where there are none."""
    if row["candidate_ms"] is None or row.get("reliable"):
        return ""
    return f"its times are not to be relied on: {row['doubt'] or 'nothing is known of the load'}"


def notes_of(group: Group) -> list[tuple[str, str]]:
    """Return why not to rely on figures, each reason once, behind the letters of its lines."""
    found: dict[str, list[str]] = {}
    for line in group.lines:
        for reason in (*(line.row["warnings"] or ()), doubt_of(line.row)):
            if reason:
                found.setdefault(reason, []).append(line.key)
    return [(", ".join(keys), reason) for reason, keys in found.items()]


def memory(row: Row) -> Cell:
    """Show the peak memory in MiB."""
    peak = row["peak_rss_bytes"]
    return NOTHING if peak is None else Cell(f"{peak / MIB:.0f} MiB")


def gates(row: Row) -> Cell:
    """Show whether all gates were passed, and which there are."""
    if row["passed"] and not row["gates"]:
        return Cell("none set")
    if row["passed"]:
        return Cell("passed", ", ".join(row["gates"]), kind="good")
    return Cell("not met", ", ".join(row["unmet"]), kind="bad")


def runtime(row: Row) -> Cell:
    """Show the target, and below it the device, or the label of the result."""
    return Cell(row["target"], place_of(row) or row["label"] or "")


OF_CLASSES = (
    Column("Top-1", "points lost, 95 %", top1),
    Column("Same top-1", "as FP32, 95 %", agreement),
)
LOST = ("drop_points", "{:+.2f} lost")
OF_TASKS: dict[str, tuple[Column, ...]] = {
    "multilabel": (
        of_task(("mAP", "points lost"), "map_candidate", "{:.2%}", LOST),
        of_task(("F1", "FP32"), "f1_candidate", "{:.2%}", ("f1_reference", "{:.2%}")),
        of_task(("Same decisions", ""), "agreement", "{:.2%}"),
    ),
    "segment": (
        of_task(("mIoU", "points lost"), "miou", "{:.2%}", LOST),
        of_task(("Same class", "of pixels"), "agreement", "{:.2%}"),
    ),
    "detect": (
        of_task(("Box AP", "FP32"), "box_ap", "{:.2%}", ("box_ap_reference", "{:.2%}")),
        of_task(("Mask AP", "FP32"), "mask_ap", "{:.2%}", ("mask_ap_reference", "{:.2%}")),
        of_task(("Same objects", "mean IoU"), "agreement", "{:.2%}", ("box_iou", "{:.4f}")),
    ),
    "regress": (
        of_task(("R2", ""), "r2", "{:.5f}"),
        of_task(("Error", "largest"), "mean_error", "{:.4f}", ("largest_error", "{:.4f}")),
    ),
    "embed": (
        of_task(("Cosine", "1st percentile"), "cosine_mean", "{:.5f}", ("cosine_p1", "{:.5f}")),
        of_task(("Neighbours", "kept, of 10"), "neighbours_kept", "{:.1%}"),
        of_task(("k-NN", "points lost"), "knn_candidate", "{:.2%}", LOST),
    ),
}
COLUMNS = (
    Column("Runtime", "", runtime),
    Column("Size", "", lambda row: Cell(f"{row['bytes'] / MIB:.1f} MiB")),
)
MEASURED = (
    Column("SQNR", "", sqnr),
    Column("Latency", "median", latency),
    Column("Speedup", "FP32 PyTorch", speedup),
    Column("Memory", "peak", memory),
    Column("Gates", "", gates),
)
