"""A grid, and what it came to."""

from __future__ import annotations

import time
from pathlib import Path

from convnext_edge.commands.compare.grid.here import run_here
from convnext_edge.commands.compare.grid.on_ray import run_on_ray
from convnext_edge.commands.compare.grid.plan import Grid
from convnext_edge.commands.compare.grid.table import GridCompare
from convnext_edge.errors import ConvNeXtEdgeError


def compare_grid(grid: Grid, ray: str | None, file: Path | None) -> GridCompare:
    """Return a row for each cell, done here or on Ray; raise ConvNeXtEdgeError where all failed.

    file: that the grid is from.
    """
    began = time.perf_counter()
    rows, workers = (run_here(grid), 0) if ray is None else run_on_ray(grid, ray)
    failed = [row for row in rows if row["failed"] is not None]
    if len(failed) == len(rows):
        raise ConvNeXtEdgeError(
            f"all {len(rows)} cells failed, the first one: {failed[0]['failed']}",
            hint="Correct that, and run the same command again.",
        )
    return GridCompare(
        rows=tuple(rows),
        refused=(),
        seconds=round(time.perf_counter() - began, 1),
        grid=None if file is None else str(file),
        workers=workers,
        cells=len(rows),
        kept_cells=sum(len(row["kept"]) == len(("make", "check", "time")) for row in rows),
        failed_cells=len(failed),
    )
