"""The function, the options and the result of `report`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from convnext_edge.artifacts.files import write_text
from convnext_edge.artifacts.store import refuse_part
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.options import DataRoot, WorkspaceFolder
from convnext_edge.commands.report.asked import Format, choose_format, suffix_of
from convnext_edge.commands.result import Result
from convnext_edge.commands.rows import Row, join_rows, place_of
from convnext_edge.commands.text import Sentence, lines
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.evaluation.records import current_records, read_records
from convnext_edge.images.definitions import set_names
from convnext_edge.paths import AnyPath, as_path

NAME = "report"


@dataclass(frozen=True)
class Report(Result):
    """The result of `report`: the page that was written."""

    html: Path | None  # one file, which needs no other file; None in another form
    rows: tuple[Row, ...]  # the same as those of `Compare`
    output: Path  # what was written
    format: str
    # Of each model and size of images: `model`, `weights`, `resolution`, `task`, `verdicts`; `rows`, with
    # `key`, `name`, `file`, `target`, `data`, `data_path`, `device` (empty for this machine) and the
    # `commands` that repeat each; results of `sensitivity`
    groups: tuple[dict[str, Any], ...] = field(default=())

    def summary(self) -> str:
        """Return what was written, and the verdicts."""
        models = sorted({group["model"] for group in self.groups})
        said = [verdict["sentence"] for group in self.groups for verdict in group["verdicts"]]
        return lines(
            ("wrote", self.output),
            ("models", ", ".join(models)),
            ("rows", len(self.rows)),
            *(("verdict", Sentence(sentence)) for sentence in said),
        )

    def table_rows(self) -> list[dict[str, Any]]:
        """Return the rows, each with its name."""
        named = {_known_by(row, row["device"]): row["name"] for group in self.groups for row in group["rows"]}
        return [{"name": named.get(_known_by(row, place_of(row)), ""), **row} for row in self.rows]


def check_place(path: Path, workspace: Workspace) -> None:
    """Raise UsageError where a report would take the place of an artifact, or lie among kept results."""
    refuse_part(path)
    if path.parent.resolve() == workspace.results.resolve():
        raise UsageError(
            f"{path} would lie among the results that report reads", hint="Name a file in another folder."
        )


def _known_by(row: Row, place: str) -> tuple[object, ...]:
    """Return what no two rows share. place: the device, empty for this machine."""
    return row["file"], row.get("folder"), row["target"], row["data"], row["data_path"], place


@command(example="convnext-edge report -o report.html")
def report(
    *,
    output: Annotated[
        AnyPath | None,
        Option("File to write.  [default: report.html in the workspace]", flags=("-o", "--output")),
    ] = None,
    format: Annotated[
        Format | None,
        Option("Form of the report.  [default: as the file's name says, or html]"),
    ] = None,
    data: Annotated[
        AnyPath | None,
        Option(
            "Images of validate; those whose answer changed become small pictures on the page.",
            metavar="NAME|PATH",
            completions=set_names,
        ),
    ] = None,
    data_root: DataRoot = None,
    workspace: WorkspaceFolder = None,
) -> Report:
    """Show what was measured in a workspace as one page to decide by.

    It has what compare, validate, benchmark and sensitivity found. In HTML, it is one file that needs no
    other: what to ship and why, accuracy against latency, layers, and the commands that repeat each row.
    Raises ArtifactError where the workspace keeps no result, ImageSetError, UsageError.
    """
    chosen = choose_format(format, as_path(output))
    if data is not None and chosen != "html":
        raise UsageError(f"--data means nothing with {chosen}, which shows no pictures", hint="Leave it out.")
    # Jinja2 and Pillow, which `--help` does without
    from convnext_edge.commands.report.formats import write_form
    from convnext_edge.commands.report.page import make_sections
    from convnext_edge.commands.report.thumbnails import Thumbnails, thumbnails
    from convnext_edge.images.opening import open_image_set

    space = Workspace.at(workspace)
    records = current_records(read_records(space), space)
    if not records:
        raise ArtifactError(
            f"no result is kept in the workspace {space.folder}",
            hint="Make one: convnext-edge compare --calib NAME --data NAME; or run validate or benchmark.",
        )
    rows = join_rows(records)
    sections = make_sections(rows, records)
    path = as_path(output) or space.folder / f"{NAME}{suffix_of(chosen)}"
    check_place(path, space)
    pictures = Thumbnails()
    if data is not None:
        pictures = thumbnails(open_image_set(data, data_root=data_root, split="evaluation"), rows)
    text = write_form(chosen, sections, rows, records, pictures)
    write_text(path, text.encode("utf-8", "backslashreplace").decode())  # JSON may hold halves of characters
    groups = tuple(section.to_json() for section in sections)
    return Report(path if chosen == "html" else None, tuple(rows), path, chosen, groups)
