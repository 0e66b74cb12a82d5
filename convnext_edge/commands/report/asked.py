"""In which form a report is written."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from convnext_edge.errors import UsageError, nearest

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
