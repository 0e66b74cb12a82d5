"""The function, the options and the result of `report`."""

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
    """The result of `report`: the page that was written."""

    html: Path  # one file, which needs no other file
    rows: tuple[Row, ...]  # the same as those of `Compare`

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
    space = Workspace.at(workspace)
    records = read_records(space)
    if not records:
        raise ArtifactError(
            f"no result is kept in the workspace {space.folder}",
            hint="Make one: convnext-edge compare --calib NAME --data NAME; or run validate or benchmark.",
        )
    rows = join_rows(records)
    path = as_path(output) or space.folder / FILE
    page = make_page(rows, records)
    write_text(path, page.encode("utf-8", "backslashreplace").decode())  # JSON may hold halves of characters
    return Report(path, tuple(rows))
