"""The named image sets: one TOML file each in calibration/, which says where its images are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from convnext_edge.errors import ImageSetError
from convnext_edge.images.archives import COMPRESSED_TAR_SUFFIXES, TAR_SUFFIXES, ZIP_SUFFIXES
from convnext_edge.reading import DamagedError, Shape, check, read_toml

Split = Literal["calibration", "evaluation"]

CORRECT = "Correct the file there."
DATA_ROOT_VARIABLE = "CONVNEXT_EDGE_DATA"
PARQUET_SUFFIXES = (".parquet",)
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, *COMPRESSED_TAR_SUFFIXES, *ZIP_SUFFIXES, *PARQUET_SUFFIXES)


@dataclass(frozen=True)
class Definition:
    """A named image set, as its TOML file defines it.

    The images either come with the package (`splits`), or the user has them in the data root.
    """

    name: str
    description: str  # half a sentence
    obtain: str  # what the user can do when the set is not found
    splits: Mapping[str, str] = field(default_factory=dict)  # split -> archive, relative to the definition
    also_called: tuple[str, ...] = ()  # other names of the set's folder or archive in the data root
    # Patterns of file names: where one of these is in the data root, the data root is the set itself.
    recognized_by: tuple[str, ...] = ()


class DefinitionShape(Shape):
    """The types of a definition's keys; which of them are needed is checked by name."""

    description: str = ""
    obtain: str = ""
    splits: dict[Split, str] = {}
    also_called: list[str] = []
    recognized_by: list[str] = []


def calibration_dir() -> Path:
    """Return the folder of the definitions: in the installed package, or at the top of a source checkout."""
    packaged = Path(__file__).parents[1] / "_calibration"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "calibration"


def set_names() -> list[str]:
    """Return the names of all named sets; their definitions are not read."""
    return sorted(path.stem for path in calibration_dir().glob("*.toml"))


def definitions() -> dict[str, Definition]:
    """Return all named sets, by name."""
    return {path.stem: read_definition(path) for path in sorted(calibration_dir().glob("*.toml"))}


def read_definition(path: Path) -> Definition:
    """Read the definition of one named set.

    Raises ImageSetError for a file that is not TOML, lacks a key, or has an unknown one.
    """
    try:
        table = read_toml(path)
    except DamagedError as error:
        raise ImageSetError(f"{path} {str(error).removeprefix('it ')}", hint=CORRECT) from error
    known = {field.name for field in fields(Definition)} - {"name"}
    wrong = sorted(table.keys() - known) + sorted({"description", "obtain"} - table.keys())
    if wrong:
        raise ImageSetError(
            f"{path} has an unknown key, or lacks a needed one: {wrong[0]}",
            hint=f"The keys are {', '.join(sorted(known))}; description and obtain are needed.",
        )
    try:
        check(table, DefinitionShape)
    except DamagedError as error:
        raise ImageSetError(f"{path} is damaged: {error}", hint=CORRECT) from error
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    return Definition(**{"name": path.stem, **table, **lists})


def locate(definition: Definition, data_root: Path | None, split: Split) -> Path:
    """Return the folder or file that holds the images of a named set.

    data_root: folder to look in, by default $CONVNEXT_EDGE_DATA. Raises ImageSetError where the set is not
    found; the message names the paths that were tried.
    """
    if definition.splits:
        return _bundled(definition, split)
    root = data_root or _data_root_of_environment()
    if root is None:
        raise _not_found(definition, "no data root is given")
    if not root.is_dir():
        raise _not_found(definition, f"the data root {root} is no folder")
    for path in _possible_paths(definition, root):
        if path.exists():
            return path
    if _is_set_itself(definition, root):
        return root
    raise _not_found(definition, _looked_at(definition, root))


def _bundled(definition: Definition, split: Split) -> Path:
    path = calibration_dir() / definition.splits[split]
    if not path.exists():
        raise _not_found(definition, f"looked at {path}")
    return path


def _possible_paths(definition: Definition, root: Path) -> Iterator[Path]:
    for name in (definition.name, *definition.also_called):
        for suffix in ("", *ARCHIVE_SUFFIXES):
            yield root / f"{name}{suffix}"


def _looked_at(definition: Definition, root: Path) -> str:
    stems = " and ".join(str(root / name) for name in (definition.name, *definition.also_called))
    patterns = " or ".join(definition.recognized_by)
    suffixes = " ".join(ARCHIVE_SUFFIXES)
    return f"looked at {stems}, as a folder or with {suffixes}, and for {patterns} in {root} itself"


def _is_set_itself(definition: Definition, root: Path) -> bool:
    patterns = definition.recognized_by
    return any(fnmatchcase(member.name, pattern) for member in root.iterdir() for pattern in patterns)


def _data_root_of_environment() -> Path | None:
    value = os.environ.get(DATA_ROOT_VARIABLE)
    return Path(value) if value else None


def _not_found(definition: Definition, why: str) -> ImageSetError:
    return ImageSetError(
        f"image set {definition.name} ({definition.description}) is not found: {why}", hint=definition.obtain
    )
