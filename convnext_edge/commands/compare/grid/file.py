"""The TOML file of a grid: its shape, and errors that name line, key, value and what is allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from convnext_edge.checkpoints.folders import check_there
from convnext_edge.checkpoints.variants import canonical, find_variant
from convnext_edge.commands.compare.contest import RECIPE, Work
from convnext_edge.commands.compare.grid.plan import Grid, Method, Model
from convnext_edge.commands.compare.pairs import check_methods
from convnext_edge.commands.early import check_images, check_threads
from convnext_edge.errors import ConvNeXtEdgeError, UsageError, nearest
from convnext_edge.images.definitions import set_names
from convnext_edge.paths import AnyPath
from convnext_edge.reading import DamagedError, Line, Shape, check, read_toml
from convnext_edge.targets.registry import check_target

Place = Sequence[str | int]
Name = Annotated[Line, Field(min_length=1)]  # an empty path would be the folder of the file
Edge = Annotated[int, Field(ge=1, le=2**16)]
Whole = Annotated[int, Field(ge=1, le=2**31)]
VALUE = r"\"[^\"]*\"|'[^']*'|#.*|[\w.+-]+"  # in a line of a list, or a comment
EXAMPLE = "docs/command-line.md#grids has an example."


class Strict(Shape, extra="forbid"):
    """The base of the shapes here: a key that they do not have is an error."""


class ImagesShape(Strict):
    """Shape of the table `images`."""

    calib: Name
    data: Name
    samples: Whole | None = None
    limit: Whole | None = None
    class_order: Literal["natural", "text"] | None = None
    classes: Name | None = None


class TimingShape(Strict):
    """Shape of the table `timing`."""

    threads: Whole = 1
    runs: Whole = 50


class GridShape(Strict):
    """Shape of a grid."""

    variants: list[Name] = []
    checkpoints: list[Name] = []
    random_weights: bool = False
    resolutions: Annotated[list[Edge], Field(min_length=1)] | None = None
    methods: Annotated[list[Name], Field(min_length=1)]
    targets: Annotated[list[Name], Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    images: ImagesShape
    timing: TimingShape = TimingShape()


TABLES: dict[Place, type[Shape]] = {(): GridShape, ("images",): ImagesShape, ("timing",): TimingShape}


def read_grid(path: Path, workspace: Path, data_root: AnyPath | None) -> Grid:
    """Return the grid in a TOML file, whose paths begin in its folder; all of it is checked first.

    Raises UsageError, with the line and the key, for a file that is none.
    """
    try:
        table = read_toml(path)
    except OSError as error:
        raise UsageError(f"cannot read the grid {path}: {error.strerror}", hint="Check the path.") from error
    except DamagedError as error:
        raise UsageError(f"{path} {str(error).removeprefix('it ')}", hint=EXAMPLE) from error
    told = Told(path)
    try:
        check(table, GridShape)
    except DamagedError as error:
        raise told.error(error.place, str(error), hint=allowed(error.place, str(error))) from error
    found = GridShape.model_validate(table)
    work = Work(
        workspace=workspace,
        calib=source(path, found.images.calib),
        samples=found.images.samples,
        data=source(path, found.images.data),
        limit=found.images.limit,
        class_order=found.images.class_order,
        classes=beside(path, found.images.classes),
        data_root=data_root,
        threads=found.timing.threads,
        runs=found.timing.runs,
        seed=found.seed,
    )
    grid = Grid(models_of(path, found), methods_of(path, found), tuple(dict.fromkeys(found.targets)), work)
    check_values(told, found, grid)
    return grid


class Told:
    """What says where in a file something is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = path.read_text(encoding="utf-8", errors="replace").splitlines()

    def error(self, place: Place, message: str, *, hint: str) -> UsageError:
        """Return the error for a value. place: the keys and the index that lead to it."""
        line = line_of(self.lines, place)
        where = f"{self.path}, line {line}" if line else str(self.path)
        return UsageError(f"{where}: {message}", hint=hint)

    @contextmanager
    def at(self, *place: str | int) -> Iterator[None]:
        """Let what is raised inside tell the line of a value, and its key."""
        try:
            yield
        except ConvNeXtEdgeError as error:
            raise self.error(place, f"{key_of(place)}: {error.message}", hint=error.hint) from error


def key_of(place: Place) -> str:
    """Return a place as people write it, as `images.calib` or `targets[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def line_of(lines: Sequence[str], place: Place) -> int | None:
    """Return the number of the line where a value is, or else where its key is; None where neither is found.

    The parser does not tell. Of lists, an item is looked for behind the key, by the commas before it.
    """
    keys = [part for part in place if isinstance(part, str)]
    table: list[str] = []
    for number, line in enumerate(lines, 1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = header[1].split(".")
            if table == keys:
                return number
        named = re.match(r"\s*([\w.-]+)\s*=", line)
        if named and [*table, *named[1].split(".")] == keys:
            return line_of_item(lines, number, place[-1])
    return None


def line_of_item(lines: Sequence[str], first: int, item: str | int) -> int:
    """Return the line of an item of a list that begins in the line `first`; that line for another value."""
    if not isinstance(item, int):
        return first
    before = 0
    for number, line in enumerate(lines[first - 1 :], first):
        found = re.findall(VALUE, line.partition("=")[2] if number == first else line)
        before += sum(not value.startswith("#") for value in found)
        if before > item:
            return number
    return first


def allowed(place: Place, message: str) -> str:
    """Return the hint for a value that does not fit: the keys, where one is unknown or missing."""
    parent = tuple(place[:-1]) if message.endswith("is unknown") else tuple(place)
    shape = TABLES.get(parent)
    if shape is None:
        return EXAMPLE
    near = nearest(str(place[-1]), shape.model_fields) if message.endswith("is unknown") else ""
    name = f"of {key_of(parent)} " if parent else ""
    return f"{near}The keys {name}are {', '.join(shape.model_fields)}. {EXAMPLE}"


def models_of(path: Path, found: GridShape) -> tuple[Model, ...]:
    """Return each model in each resolution."""
    sizes: Sequence[int | None] = tuple(dict.fromkeys(found.resolutions or [])) or (None,)
    variants = each_once(found.variants, canonical)
    named = [Model(variant=name, random_weights=found.random_weights) for name in variants]
    files = [
        Model(checkpoint=name if name.startswith("hf:") else path.parent / name)
        for name in each_once(found.checkpoints, lambda name: place_of(path, name))
    ]
    return tuple(model.at(size) for model in (*named, *files) for size in sizes)


def methods_of(path: Path, found: GridShape) -> tuple[Method, ...]:
    """Return the methods, each once, with the file of a recipe."""
    return tuple(
        Method(name, path.parent / name if name.endswith(RECIPE) else None)
        for name in each_once(found.methods, lambda name: place_of(path, name, RECIPE))
    )


def each_once(names: Sequence[str], meant: Callable[[str], object]) -> list[str]:
    """Return the names without those that mean what one before them does."""
    return list({meant(name): name for name in reversed(names)}.values())[::-1]


def place_of(path: Path, name: str, suffix: str = "") -> str:
    """Return the path that a name in the file of a grid means; what is of the hub or lacks `suffix` stays."""
    is_path = name.endswith(suffix) and not name.startswith("hf:")
    return os.path.normpath(path.parent / name) if is_path else name


def source(path: Path, name: str) -> AnyPath:
    """Return the name of an image set as it is, else a path from the folder of the grid."""
    return name if name in set_names() else path.parent / name


def beside(path: Path, name: str | None) -> Path | None:
    """Return a path from the folder of the grid."""
    return None if name is None else path.parent / name


def check_values(told: Told, found: GridShape, grid: Grid) -> None:
    """Raise UsageError for a value that is of the right type, and nothing that is known or there."""
    if not grid.models:
        raise told.error((), "it has neither variants nor checkpoints", hint=EXAMPLE)
    if found.random_weights and found.checkpoints:
        raise told.error(
            ("random_weights",), "random_weights belongs to variants, and there are checkpoints", hint=EXAMPLE
        )
    checks: list[tuple[str, Sequence[str], Callable[[str], Any]]] = [
        ("variants", found.variants, find_variant),
        ("checkpoints", found.checkpoints, lambda name: check_checkpoint(told.path, name)),
        ("targets", found.targets, check_target),
        ("methods", found.methods, lambda name: check_methods([str(told.path.parent / name)])
            if name.endswith(RECIPE) else check_methods([name])),
    ]  # fmt: skip
    for key, names, look in checks:
        for number, name in enumerate(names):
            with told.at(key, number):
                look(name)
    with told.at("methods"):
        check_methods([str(method.recipe or method.name) for method in grid.methods])
    for key, images in (("calib", grid.work.calib), ("data", grid.work.data)):
        with told.at("images", key):
            check_images(images, data_root=grid.work.data_root)
    if found.images.classes is not None and found.images.class_order is not None:
        raise told.error(
            ("images", "class_order"), "images.classes and images.class_order exclude each other",
            hint="Give one of the two.",
        )  # fmt: skip
    if grid.work.classes is not None:
        from convnext_edge.images.class_order import read_rows  # with Pillow, which --help does without

        with told.at("images", "classes"):
            read_rows(Path(grid.work.classes), "--classes")
    with told.at("timing", "threads"):
        check_threads(grid.work.threads)


def check_checkpoint(path: Path, name: str) -> None:
    """Raise CheckpointError for a checkpoint that is not there; the hub is asked when it is used."""
    if not name.startswith("hf:"):
        check_there(path.parent / name)
