"""All cells of a grid as tasks of Ray: what can run side by side does, and timing is alone on its node.

A task that loses its worker is started again, RETRIES times; what it had completed before is kept, so that
nothing is done twice. Tasks return how they ended (`Outcome`), so that one that fails stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, TypeAlias

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.compare.contest import Work
from convnext_edge.commands.compare.grid import steps
from convnext_edge.commands.compare.grid.cluster import RESOURCE, SHARE, connected
from convnext_edge.commands.compare.grid.here import started, tell
from convnext_edge.commands.compare.grid.outcome import Outcome, attempt, attempt_there
from convnext_edge.commands.compare.grid.plan import Cell, Grid, Started, cells_of
from convnext_edge.commands.compare.grid.table import failed_row, found_row
from convnext_edge.commands.rows import Row
from convnext_edge.commands.validate.shards import reference_shard
from convnext_edge.evaluation.shards import Share, shares_of
from convnext_edge.progress import Bars, doing, note

# Of a task whose worker ends: a worker that is killed five times may have the same task each time.
RETRIES = 6
CELLS = "cells"  # the progress bar
Ref: TypeAlias = Any  # of Ray, to what a task will return
Asked: TypeAlias = tuple[Share, Ref]


@dataclass(frozen=True)
class Pending:
    """The tasks of a cell."""

    cell: Cell
    made: Ref
    checked: Ref
    timed: Ref


def run_on_ray(grid: Grid, address: str) -> tuple[list[Row], int]:
    """Return a row for each cell, and the number of workers."""
    whole = grid.on_any_machine()
    threads = steps.done_on(whole.work, ()).torch_threads
    with connected(address, whole.work.workspace, threads) as (ray, nodes):
        run = Run(ray, steps.done_on(whole.work, [node.cpu for node in nodes]))
        return run.rows(whole), int(ray.cluster_resources()["CPU"]) // threads


class Run:
    """The tasks of one grid."""

    def __init__(self, ray: ModuleType, work: Work) -> None:
        self.ray, self.work = ray, work
        self.attempt = ray.remote(num_cpus=work.torch_threads, max_retries=RETRIES)(attempt_there)
        self.told: set[Ref] = set()  # tasks whose notes were said

    def rows(self, grid: Grid) -> list[Row]:
        """Return a row for each cell."""
        doing(f"exporting {len(grid.models)} models")
        exports = [self.submit(steps.start_model, model, self.work) for model in grid.models]
        outcomes = [self.outcome(ref, model.label) for ref, model in zip(exports, grid.models, strict=True)]
        models = started(grid.models, outcomes)
        cells = list(cells_of(grid, models))
        failed = {cell.number: failed_row(cell, cell.model.failed) for cell in cells if cell.model.failed}
        doing(f"{len(cells) - len(failed)} cells")
        pending = self.submit_all([cell for cell in cells if cell.number not in failed])
        found = failed | dict(self.collect(pending))
        return [found[cell.number] for cell in cells]

    def submit(self, step: Callable[..., Any], *arguments: object, alone: bool = False) -> Ref:
        """Let a worker do a step, and one whose node does nothing else where it must be alone."""
        place = {RESOURCE: 1 if alone else SHARE}
        task = self.attempt.options(name=step.__name__, resources=place)
        return task.remote(self.work.torch_threads, step, *arguments)

    def submit_all(self, cells: Sequence[Cell]) -> list[Pending]:
        """Submit what is to be done of all cells: engines first, for references need none."""
        made = {cell.number: self.submit(steps.make, cell, self.work) for cell in cells}
        models = dict.fromkeys(cell.model for cell in cells)
        shared = {model: self.shares(model, cells) for model in models}
        references = {model: self.sound_shares(model, asked) for model, asked in shared.items()}
        return [self.submit_cell(cell, made[cell.number], references[cell.model]) for cell in cells]

    def shares(self, model: Started, cells: Sequence[Cell]) -> list[Asked]:
        """Let workers answer the shares of a model's reference; none where no cell asks for it."""
        checked = [attempt(steps.is_checked, cell, self.work).value for cell in cells if cell.model == model]
        if model.single or all(checked):
            return []
        count = shares_of(model.images)
        return [self.reference(model, Share(number, count)) for number in range(count)]

    def reference(self, model: Started, share: Share) -> Asked:
        """Let a worker answer a share of the images by the reference."""
        seen, place = steps.seen_of(self.work), self.work.workspace
        return share, self.submit(reference_shard, model.path, seen, share, place)

    def sound_shares(self, model: Started, asked: Sequence[Asked]) -> list[Asked]:
        """Return the shares, asked again where an image turned out to be broken: it belongs to no batch."""
        outcomes = [self.outcome(ref, model.label) for _, ref in asked]
        if not asked or any(outcome.value is None for outcome in outcomes):
            return list(asked)  # the cells, which need them, tell why
        broken = tuple(image for outcome in outcomes for image in outcome.got.skipped)
        found = [self.reference(model, replace(share, broken=broken)) for share, _ in asked if broken]
        found = found or list(asked)
        self.submit(steps.keep_reference, model, self.work, *(ref for _, ref in found))
        return found

    def submit_cell(self, cell: Cell, made: Ref, references: Sequence[Asked]) -> Pending:
        """Submit the validation of a cell in shares, or as a whole, and then its timing."""
        if references:
            answers = [self.submit(steps.answer, made, self.work, share) for share, _ in references]
            shards = [*(ref for _, ref in references), *answers]
            checked = self.submit(steps.join, cell, made, self.work, *shards)
        else:
            checked = self.submit(steps.check, cell, made, self.work)
        return Pending(cell, made, checked, self.submit(steps.time, made, checked, self.work, alone=True))

    def collect(self, pending: Sequence[Pending]) -> Iterator[tuple[int, Row]]:
        """Yield the number and the row of each cell, as they are done."""
        waiting = {each.timed: each for each in pending}
        with Bars() as bars:
            bars.start(CELLS, len(waiting))
            while waiting:
                done, _ = self.ray.wait(list(waiting), num_returns=1)
                for each in map(waiting.pop, done):
                    row = self.row_of(each)
                    tell(each.cell, row)
                    bars.advance(CELLS)
                    yield each.cell.number, row

    def row_of(self, pending: Pending) -> Row:
        """Return the row of a cell whose tasks are done; the first that failed tells why."""
        cell = pending.cell
        outcomes = [self.outcome(ref, cell.label) for ref in (pending.made, pending.checked, pending.timed)]
        failed = next((outcome for outcome in outcomes if outcome.value is None), None)
        if failed is not None:
            return failed_row(cell, failed.reason)
        made, checked, timed = (outcome.got for outcome in outcomes)
        with steps.settled():
            return found_row(cell, open_artifact(made.engine), made, checked, timed)

    def outcome(self, ref: Ref, label: str) -> Outcome[Any]:
        """Return how a task ended, and say once what it said. label: of what it worked on."""
        try:
            found: Outcome[Any] = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            return Outcome(failed=f"its worker ended {1 + RETRIES} times: {first_line(error)}")
        if ref not in self.told:
            self.told.add(ref)
            for text in found.notes:
                note(f"{label}: {text}")
        return found


def first_line(error: Exception) -> str:
    """Return what tells most of an error of Ray's, which has many lines."""
    return str(error).strip().partition("\n")[0]
