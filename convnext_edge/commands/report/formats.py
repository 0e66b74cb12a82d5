"""The report in other forms than HTML."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convnext_edge.commands.report.asked import Format
from convnext_edge.commands.report.page import NO_PICTURES, Section, render
from convnext_edge.commands.report.thumbnails import Thumbnails
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.records import Record


def write_form(
    chosen: Format,
    sections: Sequence[Section],
    rows: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    pictures: Thumbnails = NO_PICTURES,
) -> str:
    """Return the report as a text in the chosen form. pictures: that HTML shows."""
    if chosen == "csv":
        return as_csv(sections)
    if chosen == "json":
        groups = [section.to_json() for section in sections]
        return json.dumps({"groups": groups, "rows": rows}, indent=2) + "\n"
    return render("page.md" if chosen == "markdown" else "page.html", sections, records, pictures)


def as_csv(sections: Sequence[Section]) -> str:
    """Return a table with a line for each row: all of its figures that are single values, or two ends.

    Raises UsageError where there is no row.
    """
    lines = [
        {"key": line.key, "name": line.name, **flat(line.row)}
        for section in sections
        for line in section.group.lines
    ]
    if not lines:
        raise UsageError(
            "--format csv has a line for each engine, and only sensitivity measured anything here",
            hint="Take --format json, or run validate or benchmark.",
        )
    columns = dict.fromkeys(key for line in lines for key in line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def flat(row: Mapping[str, Any]) -> dict[str, object]:
    """Return the single values of a row, those in objects by names with a dot, ends as `_low` and `_high`."""
    return dict(_flat(row, ""))


def _flat(row: Mapping[str, Any], before: str) -> Iterator[tuple[str, object]]:
    for key, value in row.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif key.endswith(("ci95", "ci95_points")) and value:
            yield from zip((f"{name}_low", f"{name}_high"), value, strict=True)
        elif not isinstance(value, list | tuple):
            yield name, value
