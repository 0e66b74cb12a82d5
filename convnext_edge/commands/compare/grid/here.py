"""All cells of a grid in this process, one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convnext_edge.artifacts.locks import release
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.compare.contest import Work
from convnext_edge.commands.compare.grid.outcome import Outcome, attempt
from convnext_edge.commands.compare.grid.plan import Cell, Grid, Model, Started, cells_of
from convnext_edge.commands.compare.grid.steps import check, done_on, make, start_model, time
from convnext_edge.commands.compare.grid.table import failed_row, found_row
from convnext_edge.commands.rows import Row
from convnext_edge.cpu import read_cpu
from convnext_edge.errors import UsageError
from convnext_edge.progress import doing, note


def run_here(grid: Grid) -> list[Row]:
    """Return a row for each cell."""
    work = done_on(grid.work, [read_cpu().name])
    models = start_all(grid, lambda model: attempt(start_model, model, work))
    return [run_cell(cell, work) for cell in cells_of(grid, models)]


def start_all(grid: Grid, start: Callable[[Model], Outcome[Started]]) -> tuple[Started, ...]:
    """Export all models; of one that fails, all cells do.

    Raises the first error where all models fail, UsageError where two have one name: files of one would take
    the place of the other's.
    """
    found = []
    for number, model in enumerate(grid.models, 1):
        doing(f"model {number} of {len(grid.models)}: {model.label}")
        found.append(start(model))
    return started(grid.models, found)


def started(models: Sequence[Model], found: Sequence[Outcome[Started]]) -> tuple[Started, ...]:
    """Return what became of the models; raises as `start_all`."""
    failed = [outcome for outcome in found if outcome.value is None]
    if len(failed) == len(found):
        raise failed[0].error
    known: dict[object, Model] = {}
    for model, outcome in zip(models, found, strict=True):
        if outcome.value is not None and (other := known.setdefault(outcome.value.path, model)) != model:
            raise UsageError(
                f"{other.label} and {model.label} have one name, and so would their files",
                hint="Name one of the two, or rename a checkpoint.",
            )
    return tuple(
        outcome.value or Started(model, None, failed=f"it was not exported: {outcome.failed}")
        for model, outcome in zip(models, found, strict=True)
    )


def run_cell(cell: Cell, work: Work) -> Row:
    """Do what is left to do of a cell, and return its row."""
    doing(cell.label)
    if cell.model.failed is not None:
        return failed_row(cell, cell.model.failed)
    outcome = attempt(whole_cell, cell, work)
    row = outcome.value or failed_row(cell, outcome.reason)
    tell(cell, row)
    return row


def whole_cell(cell: Cell, work: Work) -> Row:
    """Make, validate and time the engine of a cell."""
    made = make(cell, work)
    checked = check(cell, made, work)
    timed = time(made, checked, work)
    row = found_row(cell, open_artifact(made.engine), made, checked, timed)
    release()
    return row


def tell(cell: Cell, row: Row) -> None:
    """Say that a cell failed, or what of it was kept."""
    if row["failed"] is not None:
        note(f"{cell.label} FAILED: {row['failed']}")
    elif row["kept"]:
        note(f"{cell.label}: taken from the workspace: {', '.join(row['kept'])}")
