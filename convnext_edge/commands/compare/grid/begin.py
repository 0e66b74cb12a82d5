"""What `compare` is asked for of a grid, checked before PyTorch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_edge.artifacts.locks import release
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.compare.contest import RECIPE, Work
from convnext_edge.commands.compare.grid.file import read_grid
from convnext_edge.commands.compare.grid.plan import Grid, Method, Model
from convnext_edge.errors import UsageError
from convnext_edge.paths import AnyPath
from convnext_edge.quiet import importing

if TYPE_CHECKING:
    from convnext_edge.commands.compare.grid.table import GridCompare


def check_by_themselves(given: Mapping[str, object]) -> None:
    """Raise UsageError for an option that neither --grid nor --ray takes, by its name."""
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} does not go with --grid or --ray", hint="Leave one of them out.")


def check_told_once(given: Mapping[str, object], grid: Path) -> None:
    """Raise UsageError for an option beside the grid that tells the same, by its name."""
    for option, value in given.items():
        if value is not None and value != ():
            raise UsageError(
                f"{option} and --grid contradict each other: {grid} tells it",
                hint="Write it into the file, or leave --grid out.",
            )


def compare_file(path: Path, ray: str | None, space: Workspace, data_root: AnyPath | None) -> GridCompare:
    """Compare what a TOML file names."""
    return begin(read_grid(path, space.folder, data_root), ray, path)


def compare_options(
    model: AnyPath | None, methods: Sequence[str], targets: Sequence[str], work: Work, ray: str
) -> GridCompare:
    """Compare the pairs of one model on Ray, as a grid of one model."""
    artifact = Workspace(work.workspace).choose_exported(model)
    named = tuple(Method(name, Path(name) if name.endswith(RECIPE) else None) for name in methods)
    return begin(Grid((Model(artifact=artifact.path),), named, tuple(targets), work), ray, None)


def begin(grid: Grid, ray: str | None, file: Path | None) -> GridCompare:
    """Compare, once all is loaded that this takes."""
    with importing():
        from convnext_edge.commands.compare.grid.run import compare_grid

    release()  # workers write where this process has read
    return compare_grid(grid, ray, file)
