"""The rows of a grid, and the table that shows them by model and resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.compare.grid.plan import Cell
from convnext_edge.commands.compare.grid.steps import Found, Made
from convnext_edge.commands.compare.result import Compare, cells
from convnext_edge.commands.rows import LEGENDS, Row, figures_of, make_row, task_of
from convnext_edge.commands.text import fold, table
from convnext_edge.evaluation.records import model_columns

UNKNOWN = ("file", "sha256", "bytes", "precision", "changes", "weights", "recipe_name", "recipe",
           "calibration", "made")  # fmt: skip


@dataclass(frozen=True)
class GridCompare(Compare):
    """What `compare` found of a grid.

    A row has the keys of `Compare.rows`, and `variant`, `kept` (which of its steps an earlier run had done:
    `make`, `check`, `time`) and `failed` (the reason, where a cell has no figures; else None).
    """

    grid: str | None = None  # the file
    workers: int = 0  # of Ray; 0 for this process
    cells: int = 0
    kept_cells: int = 0  # of which nothing had to be done any more
    failed_cells: int = 0

    def summary(self) -> str:
        """Return a table with a line for each cell, by model and resolution."""
        worked = [row for row in self.rows if row["failed"] is None]
        parts = [self._table(task, rows) for task, rows in by_task(worked)]
        parts.append(fold(self._told(worked)) + self._doubts())
        failed = [f"{name(row)} FAILED: {row['failed']}" for row in self.rows if row["failed"] is not None]
        return "\n".join(["\n\n".join(parts), *map(fold, failed)])

    def _table(self, task: str, rows: Sequence[Row]) -> str:
        figures = figures_of(rows)
        titles = (figure.title for figure in figures)
        lines: list[tuple[str, ...]] = [("target", "method", *titles, "SQNR", "speedup", "size")]
        for heading, group in groupby(rows, key=heading_of):
            lines.append((heading, *[""] * (len(lines[0]) - 1)))
            lines += [("  " + first, *rest) for first, *rest in (cells(row, figures) for row in group)]
        legend = LEGENDS.get(task)
        return table(lines) + (f"\n{fold(legend)}" if legend else "")

    def _told(self, worked: Sequence[Row]) -> str:
        images = "".join(
            f"{count} images of {data}, "
            for count, data in sorted({(row["images"], Path(row["data"]).name) for row in worked})
        )
        cpus = sorted({row["cpu"] for row in worked if row["cpu"]})
        several = f" Timed on {len(cpus)} kinds of CPU, whose latencies are not to be compared:" \
                  f" {', '.join(cpus)}." if len(cpus) > 1 else ""  # fmt: skip
        kept = f", {self.kept_cells} of them as kept before" if self.kept_cells else ""
        failed = f", {self.failed_cells} FAILED" if self.failed_cells else ""
        where = f" by {self.workers} workers of Ray" if self.workers else ""
        return (
            f"{images}speedup against FP32 PyTorch; {self.cells} cells{kept}{failed};"
            f" {self.seconds:.0f} s{where}.{several}"
        )


def by_task(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return rows by task, in the order of the first of each."""
    tasks = dict.fromkeys(task_of([row]) for row in rows)
    return [(task, [row for row in rows if task_of([row]) == task]) for task in tasks]


def heading_of(row: Row) -> str:
    """Return what the table calls a model."""
    return f"{row['model']}, {row['resolution']} px"


def name(row: Row) -> str:
    """Return what messages call a row."""
    return f"{heading_of(row) if row['resolution'] else row['model']}: {row['method']} on {row['target']}"


def found_row(cell: Cell, engine: Artifact, made: Made, checked: Found, timed: Found) -> Row:
    """Return the row of a cell."""
    steps = {"make": made.kept, "check": checked.kept, "time": timed.kept}
    return {
        **make_row(model_columns(engine), checked.result, timed.result),
        "method": cell.method.name,
        "variant": cell.model.variant,
        "kept": [step for step, kept in steps.items() if kept],
        "failed": None,
    }


def failed_row(cell: Cell, reason: str) -> Row:
    """Return the row of a cell that has no figures."""
    model = cell.model
    return {
        **dict.fromkeys(UNKNOWN),
        **make_row({}, None, None),
        "model": model.name or model.model.label,
        "variant": model.variant or model.model.variant,
        "resolution": model.resolution,
        "method": cell.method.name,
        "target": cell.target,
        "passed": False,
        "kept": [],
        "failed": reason,
    }
