"""What `compare` found, and how it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_edge.commands.compare.race import tables
from convnext_edge.commands.result import Result
from convnext_edge.commands.rows import (
    LEGENDS,
    Figure,
    Row,
    figures_of,
    place_of,
    speedup_of,
    task_of,
)
from convnext_edge.commands.text import command_line, digits, fold, size_of, table

if TYPE_CHECKING:
    from convnext_edge.rivals.rows import RivalRow


@dataclass(frozen=True)
class Refusal(Result):
    """A method that a target refuses."""

    method: str
    target: str
    reason: str


@dataclass(frozen=True)
class Compare(Result):
    """The engines that were made, and what `validate` and `benchmark` say of them."""

    # the keys of `Validate` and `Benchmark` together (None where nothing was measured), and `method`,
    # `target`, `model`, `file`, `sha256`, `bytes`, `precision`, and `changes` of the target's recipe
    rows: tuple[Row, ...]
    refused: tuple[Refusal, ...]
    seconds: float
    rivals: tuple[RivalRow, ...] = ()  # with --rivals: engines of ours and rivals, timed in one run

    def table_rows(self) -> list[Row]:
        """Return a row for each engine."""
        return list(self.rows)

    def summary(self) -> str:
        """Return a table with a line for each engine."""
        figures = figures_of(self.rows)
        titles = (figure.title for figure in figures)
        header = ("target", "method", *titles, "SQNR", self._timed, "size")
        first, legend = self.rows[0], LEGENDS.get(task_of(self.rows))
        images = f"{first['images']} images of {Path(first['data']).name}"
        return (
            table([header, *(cells(row, figures) for row in self.rows)])
            + f"\n{images}, {self._measured(first)}, {self.seconds:.0f} s"
            + (f"\n{fold(legend)}" if legend else "")
            + self._doubts()
            + "".join(f"\n{fold(f'{r.method} on {r.target} is refused: {r.reason}')}" for r in self.refused)
            + (f"\n\n{tables(self.rivals)}" if self.rivals else "")
        )

    def next_command(self) -> str:
        """Return what shows all results of the workspace."""
        return command_line("report")

    @property
    def _timed(self) -> str:
        return "p50" if place_of(self.rows[0]) else "speedup"

    def _measured(self, row: Row) -> str:
        there = place_of(row)
        return f"on {there}" if there else "speedup against FP32 PyTorch"

    def _doubts(self) -> str:
        """Return why a speedup is not to be relied on."""
        doubts = sorted({row["doubt"] for row in self.rows if row["doubt"]})
        return f"\n{fold('? NOT to be relied on: ' + '; '.join(doubts))}" if doubts else ""


def cells(row: Row, figures: Sequence[Figure]) -> tuple[str, ...]:
    """Return one line of the table. figures: what it shows of the task."""
    return (
        row["target"],
        Path(row["method"]).name,
        *(figure.text(row) for figure in figures),
        "exact" if row["sqnr_db"] is None else f"{digits(row['sqnr_db'])} dB",
        timed(row),
        size_of(row["bytes"]),
    )


def timed(row: Row) -> str:
    """Return the speedup of a row; of one from a device, the median latency."""
    if row["candidate_ms"] is None:
        return "unknown"
    if row["speedup"] is not None:
        return speedup_of(row)
    return f"{row['candidate_ms']['p50']:.2f} ms" + ("" if row["reliable"] else " ?")
