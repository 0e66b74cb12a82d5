"""The table: one line for each model, one column for each figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convnext_edge.commands.report.markup import Content, Element, element
from convnext_edge.commands.rows import OF_A_MAP, Row, place_of, speedup_of, task_of
from convnext_edge.commands.text import MIB

NOTHING = ["-"]


def make_table(rows: Sequence[Row]) -> Element:
    """Make the table.

    rows: what `join_rows` returns, of one task, each with the number of its colour under the key `colour`.
    """
    columns = (*COLUMNS, *columns_of_task(rows), *MEASURED)
    head = element("tr", *(element("th", *column.title) for column in columns))
    body = [
        element("tr", *(element("td", *column.cell(row)) for column in columns), title=row["file"])
        for row in rows
    ]
    table = element("table", element("thead", head), element("tbody", *body))
    return element("div", table, class_="scroll")


def how(row: Row) -> str:
    """Return the name of a row: its method, and its precision where that is not the usual one."""
    usual = row["precision"] in ("int8", row["method"])
    return str(row["method"]) if usual else f"{row['method']} {row['precision']}"


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    title: Sequence[Content]
    cell: Callable[[Row], Sequence[Content]]  # what it shows of a row


def small(text: str) -> Element:
    """Return text in small letters, which goes below a figure."""
    return element("small", text)


def method(row: Row) -> Sequence[Content]:
    """Show the method, and below it what the recipe changes."""
    changes = [f"{key} = {recipe_value(value)}" for key, value in row["changes"].items()]
    return [how(row), small(", ".join(changes))] if changes else [how(row)]


def recipe_value(value: object) -> str:
    """Return a value of a recipe as text; of a list of several, only their number."""
    return f"{len(value)} patterns" if isinstance(value, list) and len(value) > 1 else str(value)


def runtime(row: Row) -> Sequence[Content]:
    """Show the target with its colour, and below it the device, or the label of the result."""
    key = element("span", class_=f"key colour{row['colour']}")
    below = place_of(row) or row["label"]
    return [key, row["target"], small(below)] if below else [key, row["target"]]


def top1(row: Row) -> Sequence[Content]:
    """Show the accuracy, and below it the drop with its interval, in percentage points."""
    if row["candidate_top1"] is None:
        return NOTHING
    low, high = row["drop_ci95_points"]
    return [
        f"{row['candidate_top1']:.2%}",
        small(f"{row['drop_points']:+.2f} lost ({low:+.2f} to {high:+.2f})"),
    ]


def agreement(row: Row) -> Sequence[Content]:
    """Show the agreement with the reference, and below it the interval."""
    if row["agreement"] is None:
        return NOTHING
    low, high = row["agreement_ci95"]
    return [f"{row['agreement']:.2%}", small(f"{low:.2%} to {high:.2%}")]


def of_task(title: Sequence[Content], key: str, form: str, *below: tuple[str, str]) -> Column:
    """Make a column of a metric of a task, and below it others; nothing where the metric is not known.

    form: how the value is written. below: the key of another metric, and how that is written.
    """

    def cell(row: Row) -> Sequence[Content]:
        metrics = row["metrics"] or {}
        if metrics.get(key) is None:
            return NOTHING
        known = [(metrics[name], how_written) for name, how_written in below if metrics.get(name) is not None]
        shown = ", ".join(how_written.format(value) for value, how_written in known)
        return [form.format(metrics[key]), *([small(shown)] if shown else [])]

    return Column(title, cell)


def columns_of_task(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of the task of the rows; of other tasks than classify, those that have a value."""
    task = task_of(rows)
    if task == "classify":
        return list(OF_CLASSES)
    maps = dict.fromkeys(key for row in rows for key in row["metrics"] or {} if key.endswith(OF_A_MAP))
    of_maps = [map_column(key.removesuffix(OF_A_MAP)) for key in maps]
    columns = [*OF_TASKS.get(task, ()), *of_maps]
    return [column for column in columns if any(column.cell(row) != NOTHING for row in rows)]


def map_column(name: str) -> Column:
    """Return the column of a map of features: its SQNR, and below it the cosine."""
    return of_task([name, small("cosine")], f"{name}_sqnr_db", "{:.1f} dB", (f"{name}_cosine", "{:.5f}"))


def sqnr(row: Row) -> Sequence[Content]:
    """Show the SQNR in dB, or that the outputs are exactly the reference's."""
    if row["images"] is None:
        return NOTHING
    return ["exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f} dB"]


def latency(row: Row) -> Sequence[Content]:
    """Show the median milliseconds of a call, and below them batch and threads."""
    if row["candidate_ms"] is None:
        return NOTHING
    threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    found: list[Content] = [f"{row['candidate_ms']['p50']:.2f} ms", small(f"batch {row['batch']}, {threads}")]
    alone = row.get("doubt") and row["speedup"] is None  # else it stands with the speedup
    return [*found, doubt_of(row)] if alone else found


def speedup(row: Row) -> Sequence[Content]:
    """Show how many times as fast as the reference it is, and below that the interval, and any doubt."""
    if row["speedup"] is None:
        return NOTHING
    of = f"of {row['reference_ms']['p50']:.2f} ms"
    if row.get("speedup_ci95") is not None:
        low, high = row["speedup_ci95"]
        of = f"{low:.2f} to {high:.2f}, {of}"
    return [speedup_of(row), small(of), *([doubt_of(row)] if row.get("doubt") else [])]


def doubt_of(row: Row) -> Element:
    """Say why the times of a row are not to be relied on."""
    return element("small", f"not to be relied on: {row['doubt']}", class_="doubt")


def memory(row: Row) -> Sequence[Content]:
    """Show the peak memory in MiB."""
    peak = row["peak_rss_bytes"]
    return NOTHING if peak is None else [f"{peak / MIB:.0f} MiB"]


def gates(row: Row) -> Sequence[Content]:
    """Show whether all gates were passed."""
    verdict, kind = ("passed", "good") if row["passed"] else ("not met", "bad")
    return [element("span", verdict, class_=kind)]


OF_CLASSES = (
    Column(["Top-1", small("points lost, 95 %")], top1),
    Column(["Same top-1", small("95 %")], agreement),
)
LOST = ("drop_points", "{:+.2f} lost")
OF_TASKS: dict[str, tuple[Column, ...]] = {
    "multilabel": (
        of_task(["mAP", small("points lost")], "map_candidate", "{:.2%}", LOST),
        of_task(["F1", small("FP32")], "f1_candidate", "{:.2%}", ("f1_reference", "{:.2%}")),
        of_task(["Same decisions"], "agreement", "{:.2%}"),
    ),
    "regress": (
        of_task(["R2"], "r2", "{:.5f}"),
        of_task(["Error", small("largest")], "mean_error", "{:.4f}", ("largest_error", "{:.4f}")),
    ),
    "embed": (
        of_task(["Cosine", small("1st percentile")], "cosine_mean", "{:.5f}", ("cosine_p1", "{:.5f}")),
        of_task(["Neighbours", small("kept, of 10")], "neighbours_kept", "{:.1%}"),
        of_task(["k-NN", small("points lost")], "knn_candidate", "{:.2%}", LOST),
    ),
}
COLUMNS = (
    Column(["Method"], method),
    Column(["Runtime"], runtime),
    Column(["Size"], lambda row: [f"{row['bytes'] / MIB:.1f} MiB"]),
)
MEASURED = (
    Column(["SQNR"], sqnr),
    Column(["Latency", small("median")], latency),
    Column(["Speedup", small("FP32 PyTorch")], speedup),
    Column(["Memory", small("peak")], memory),
    Column(["Gates"], gates),
)
