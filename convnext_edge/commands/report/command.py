"""The command: read what the workspace keeps, write the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from convnext_edge.artifacts.files import write_text
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.options import WorkspaceFolder
from convnext_edge.commands.report.page import make_page
from convnext_edge.commands.result import Result
from convnext_edge.commands.rows import Row, join_rows
from convnext_edge.commands.text import lines
from convnext_edge.errors import ArtifactError
from convnext_edge.evaluation.records import read_records
from convnext_edge.paths import AnyPath, as_path

FILE = "report.html"


@dataclass(frozen=True)
class Report(Result):
    """A page that was written."""

    html: Path  # one file, without anything outside it
    rows: tuple[Row, ...]  # as of `Compare`

    def summary(self) -> str:
        """Return what was written."""
        models = sorted({row["model"] for row in self.rows})
        return lines(("wrote", self.html), ("models", ", ".join(models)), ("rows", len(self.rows)))


@command(example="convnext-edge report -o report.html")
def report(
    *,
    output: Annotated[
        AnyPath | None,
        Option("File to write.  [default: report.html in the workspace]", flags=("-o", "--output")),
    ] = None,
    workspace: WorkspaceFolder = None,
) -> Report:
    """Show what validate, benchmark and compare found as one HTML file.

    Raises ArtifactError where the workspace keeps no result.
    """
    place = Workspace.at(workspace)
    records = read_records(place)
    if not records:
        raise ArtifactError(
            f"no result is kept in the workspace {place.folder}",
            hint="Make some: convnext-edge compare --calib NAME --data NAME; or validate, or benchmark.",
        )
    rows = join_rows(records)
    path = as_path(output) or place.folder / FILE
    write_text(path, make_page(rows, records))
    return Report(path, tuple(rows))
