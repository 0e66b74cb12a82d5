"""Tables of Markdown, and the reports that they show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Report = dict[str, Any]


def table(header: Any, rows: Any) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cells)} |"


def interval(ends: Any) -> str:
    low, high = ends
    return f"({low:.2f} to {high:.2f})"
