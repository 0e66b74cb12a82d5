"""The parts of cells that are done, in the folder `cells` of the workspace: a JSON file for each.

A file is written when a part is complete, and never again: its name has the digest of all that the part
follows from. Remove the folder to have everything done again.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import write_text
from convnext_edge.artifacts.shapes import FormatShape
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.compare.grid.identity import FORMAT
from convnext_edge.errors import ArtifactError
from convnext_edge.evaluation.record_shapes import BenchmarkShape, ValidateShape
from convnext_edge.progress import note
from convnext_edge.reading import DamagedError, Sha256, Shape, check, read_json

Kind: TypeAlias = Literal["export", "make", "check", "time"]
Value: TypeAlias = dict[str, Any]
AGAIN = "It is done again."


class PartShape(FormatShape):
    """Shape of a part, whatever its kind."""

    kind: Kind
    date: Annotated[str, Field(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\z")]
    value: dict[str, object]


class FileShape(Shape):
    """Shape of the value of a part that made a file."""

    file: Annotated[str, Field(pattern=r"\A[^/\\\x00-\x1f]{1,199}\z")]  # its name in the workspace
    sha256: Sha256


VALUES: dict[Kind, type[Shape]] = {
    "export": FileShape,
    "make": FileShape,
    "check": ValidateShape,
    "time": BenchmarkShape,
}


def find_part(kind: Kind, key: str, workspace: Workspace) -> Value | None:
    """Return the value of a part that is done; None where it is not, or where its file is damaged."""
    path = path_of(kind, key, workspace)
    if not path.is_file():
        return None
    try:
        part = read_json(path, PartShape, hint=AGAIN)
        check(part["value"], VALUES[kind])
    except (ArtifactError, DamagedError) as error:
        note(f"{error}. {AGAIN}" if isinstance(error, DamagedError) else f"{error.message}. {AGAIN}")
        return None
    value: Value = part["value"]
    return value if part["format"] == FORMAT and part["kind"] == kind else None


def keep_part(kind: Kind, key: str, value: Value, workspace: Workspace) -> None:
    """Keep the value of a part that is complete."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    part = {"format": FORMAT, "kind": kind, "date": date, "value": value}
    write_text(path_of(kind, key, workspace), json.dumps(part, indent=2) + "\n")


def find_made(kind: Kind, key: str, workspace: Workspace) -> Artifact | None:
    """Return the file that a part made; None where it is gone, or holds something else by now."""
    value = find_part(kind, key, workspace)
    if value is None:
        return None
    try:
        found = open_artifact(workspace.folder / value["file"])
    except ArtifactError:
        return None
    return found if found.sha256 == value["sha256"] else None


def keep_made(kind: Kind, key: str, made: Artifact, workspace: Workspace) -> None:
    """Keep which file a part made."""
    keep_part(kind, key, {"file": made.path.name, "sha256": made.sha256}, workspace)


def path_of(kind: Kind, key: str, workspace: Workspace) -> Path:
    """Return the file of a part."""
    return workspace.cells / f"{kind}-{key}.json"
