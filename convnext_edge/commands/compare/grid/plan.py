"""What is to be done: the models, methods and targets of a grid, its cells, and what all cells share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from convnext_edge.commands.compare.contest import Work
from convnext_edge.paths import AnyPath


@dataclass(frozen=True)
class Model:
    """A model at one resolution, before it is exported; one of the first three names it."""

    variant: str | None = None
    checkpoint: AnyPath | None = None
    artifact: Path | None = None  # of export, which needs no export any more
    resolution: int | None = None  # None for the model's own
    random_weights: bool = False  # of a variant

    def at(self, resolution: int | None) -> Model:
        """Return the model at another resolution."""
        return replace(self, resolution=resolution)

    @property
    def label(self) -> str:
        """What messages call it."""
        name = self.variant or Path(self.checkpoint or self.artifact or "").name
        return name + (f" at {self.resolution} px" if self.resolution else "")


@dataclass(frozen=True)
class Method:
    """A way to make an engine: `fp32`, a method of `quantize`, or a recipe."""

    name: str  # as it was asked for
    recipe: Path | None = None  # the file of a recipe

    @property
    def asked(self) -> str:
        """What `Contest` takes."""
        return self.name if self.recipe is None else str(self.recipe)


@dataclass(frozen=True)
class Grid:
    """Models, methods and targets, each of which meets each."""

    models: tuple[Model, ...]
    methods: tuple[Method, ...]
    targets: tuple[str, ...]
    work: Work

    def on_any_machine(self) -> Grid:
        """Return the grid with absolute paths, for processes that work in other folders."""
        return replace(
            self,
            models=tuple(map(absolute, self.models)),
            methods=tuple(map(absolute, self.methods)),
            work=absolute(self.work),
        )


@dataclass(frozen=True)
class Started:
    """A model that was exported, or the reason why it was not."""

    model: Model
    path: Path | None  # of the FP32 artifact
    name: str = ""  # that rows have
    variant: str | None = None  # its name among the published models
    resolution: str | None = None  # of the images, as `224` or `224x320`
    task: str = "classify"
    images: int = 0  # to validate on
    digest: str = ""  # of these images with their labels, for this model
    single: bool = True  # whether one process must validate it, as its answers are large
    failed: str | None = None

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.name}, {self.resolution} px"


@dataclass(frozen=True)
class Cell:
    """A model, a method and a target."""

    number: int  # 1-based
    cells: int  # how many there are
    model: Started
    method: Method
    target: str

    @property
    def label(self) -> str:
        """What messages call it."""
        told = self.model.label if self.model.failed is None else self.model.model.label
        return f"{self.number} of {self.cells}: {told}, {self.method.name} on {self.target}"


T = TypeVar("T", Model, Method, Work)


def cells_of(grid: Grid, models: tuple[Started, ...]) -> Iterator[Cell]:
    """Yield all cells, those of a model together."""
    total = len(models) * len(grid.methods) * len(grid.targets)
    for number, (model, target, method) in enumerate(product(models, grid.targets, grid.methods), 1):
        yield Cell(number, total, model, method, target)


def absolute(item: T) -> T:
    """Return an item with each of its paths made absolute; names stay as they are."""
    paths = {field.name: getattr(item, field.name) for field in fields(item)}
    changed: dict[str, Any] = {k: Path(v).absolute() for k, v in paths.items() if isinstance(v, PathLike)}
    return replace(item, **changed)
