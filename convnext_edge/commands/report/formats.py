"""The report in other forms than HTML."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from convnext_edge.commands.report.page import Section, render
from convnext_edge.errors import UsageError, nearest
from convnext_edge.evaluation.records import Record

Format = Literal["html", "markdown", "json", "csv"]
SUFFIXES: dict[str, Format] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".json": "json",
    ".csv": "csv",
}


def choose_format(asked: Format | None, output: Path | None) -> Format:
    """Return the form to write: what was asked for, or what the file's name says, or else HTML.

    Raises UsageError where the two contradict each other, and for a name that says nothing.
    """
    if output is None:
        return asked or "html"
    named = SUFFIXES.get(output.suffix.lower())
    if asked is None and named is None and output.suffix:
        near = nearest(output.suffix, SUFFIXES)
        raise UsageError(
            f"-o {output} does not tell what to write",
            hint=f"{near}Add --format, one of {', '.join(get_args(Format))}.",
        )
    if asked and named and asked != named:
        raise UsageError(
            f"--format {asked} and -o {output} contradict each other", hint="Leave one of them out."
        )
    return asked or named or "html"


def suffix_of(chosen: Format) -> str:
    """Return how the name of a file of this form ends."""
    return next(suffix for suffix, named in SUFFIXES.items() if named == chosen)


def write_form(
    chosen: Format, sections: Sequence[Section], rows: Sequence[Mapping[str, Any]], records: Sequence[Record]
) -> str:
    """Return the report as a text in the chosen form."""
    if chosen == "csv":
        return as_csv(sections)
    if chosen == "json":
        return (
            json.dumps({"groups": [section.to_json() for section in sections], "rows": rows}, indent=2) + "\n"
        )
    return render("page.md" if chosen == "markdown" else "page.html", sections, records)


def as_csv(sections: Sequence[Section]) -> str:
    """Return a table with a line for each row: all of its figures that are single values, or two ends."""
    lines = [
        {"key": line.key, "name": line.name, **flat(line.row)}
        for section in sections
        for line in section.group.lines
    ]
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
