"""The command: read what the workspace keeps, write the page."""

from __future__ import annotations

from convnext_edge.artifacts.files import write_text
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.report.page import make_page
from convnext_edge.errors import ArtifactError
from convnext_edge.evaluation.records import join_rows, read_records
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.results import Report

FILE = "report.html"


def report(*, output: AnyPath | None = None, workspace: AnyPath | None = None) -> Report:
    """Show the results of `validate`, `benchmark` and `compare` that the workspace keeps.

    output: the HTML file, by default report.html in the workspace. Raises ArtifactError.
    """
    output = as_path(output)
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
