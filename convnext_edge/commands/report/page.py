"""The page: all that is known of each group of rows, put into a template."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from convnext_edge.commands.report.details import (
    Changes,
    changes_of,
    environment_of,
    recipe_facts,
    reference_of,
)
from convnext_edge.commands.report.groups import Group, Line, make_groups
from convnext_edge.commands.report.layers import Layers, layers_of
from convnext_edge.commands.report.repeating import are_complete, commands_of
from convnext_edge.commands.report.scatter import Scatter, scatters
from convnext_edge.commands.report.strips import Strips, strips
from convnext_edge.commands.report.table import Cell, Column, columns_of, notes_of
from convnext_edge.commands.report.thumbnails import Thumbnails
from convnext_edge.commands.report.verdict import Verdict, verdicts
from convnext_edge.commands.rows import Row, place_of
from convnext_edge.evaluation.records import Record
from convnext_edge.version import __version__

TEMPLATES = Path(__file__).with_name("templates")
NO_PICTURES = Thumbnails()


@dataclass(frozen=True)
class Section:
    """What the page has of one group."""

    group: Group
    reference: str
    verdicts: tuple[Verdict, ...]
    columns: tuple[Column, ...]
    notes: tuple[tuple[str, str], ...]  # why not to rely on figures, behind the letters of the lines
    scatters: tuple[Scatter, ...]
    strips: tuple[Strips, ...]
    layers: tuple[Layers, ...]
    changes: tuple[Changes, ...]
    commands: dict[str, list[str]]  # of each line, by its key

    def cells(self, line: Line) -> list[tuple[Column, Cell]]:
        """Return what the table shows of a line."""
        return [(column, column.cell(line.row)) for column in self.columns]

    def whole(self, line: Line) -> bool:
        """Return whether the commands of a line begin with a checkpoint."""
        return are_complete(self.commands[line.key])

    def facts(self, line: Line) -> list[tuple[str, str]]:
        """Return the file, recipe and calibration set of a line."""
        return recipe_facts(line.row)

    def to_json(self) -> dict[str, Any]:
        """Return the group as `--json` tells it: its verdicts, and names and commands of its rows."""
        return {
            "model": self.group.model,
            "weights": self.group.weights,
            "resolution": self.group.resolution,
            "task": self.group.task,
            "verdicts": [vars(verdict) for verdict in self.verdicts],
            "rows": [
                {
                    "key": line.key,
                    "name": line.name,
                    "file": line.row["file"],
                    "folder": line.row.get("folder"),
                    "target": line.row["target"],
                    "data": line.row["data"],
                    "data_path": line.row["data_path"],
                    "device": place_of(line.row),
                    "commands": self.commands[line.key],
                }
                for line in self.group.lines
            ],
            "sensitivity": [record["result"] for record in self.group.sensitivities],
        }


def make_sections(rows: Sequence[Row], records: Sequence[Record]) -> list[Section]:
    """Return what the page has of each group.

    rows: what `join_rows` returns. records: what the rows were joined from.
    """
    return [_section(group, records) for group in make_groups(rows, records)]


def _section(group: Group, records: Sequence[Record]) -> Section:
    commands = {line.key: commands_of(line.row, records) for line in group.lines}
    return Section(
        group,
        reference_of(group),
        tuple(verdicts(group)),
        tuple(columns_of(group)),
        tuple(notes_of(group)),
        tuple(scatters(group, commands)),
        tuple(strips(group)),
        tuple(layers_of(group)),
        tuple(changes_of(group)),
        commands,
    )


def render(
    template: str,
    sections: Sequence[Section],
    records: Sequence[Record],
    pictures: Thumbnails = NO_PICTURES,
) -> str:
    """Return the page. template: name of its file. Whatever is put into HTML is escaped."""
    return (
        _templates(escaped=template.endswith(".html"))
        .get_template(template)
        .render(
            sections=sections,
            pictures=pictures,
            models=", ".join(sorted({section.group.model for section in sections})),
            environment=environment_of(records),
            version=__version__,
            now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )


@cache
def _templates(*, escaped: bool) -> Environment:
    """Return what reads templates, and compiles each once a process: that takes longer than a page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = markdown_cell
    environment.filters["block"] = markdown_block
    return environment


def make_page(rows: Sequence[Row], records: Sequence[Record]) -> str:
    """Return the page in HTML; rows and records are as of `make_sections`."""
    return render("page.html", make_sections(rows, records), records)


def markdown_cell(text: object) -> str:
    """Return a text that a cell or a line of Markdown shows as it is."""
    plain = html.escape(" ".join(str(text).split()), quote=False)
    for sign in "\\`*_[]|~#":
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def markdown_block(commands: Sequence[str]) -> str:
    """Return commands as a block of Markdown that shows them as they are."""
    text = "\n".join(commands)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}sh\n{text}\n{fence}"
