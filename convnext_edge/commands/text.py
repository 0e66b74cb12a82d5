"""The layout of text for people: pairs, tables and folded lines, within 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

MIB = 2**20
WIDTH = 80  # columns


def lines(*rows: tuple[str, object]) -> str:
    """Return a line for each pair of name and value, with the values aligned."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def fold(text: str) -> str:
    """Return the text with its long lines broken between words."""
    folded = [wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in text.splitlines()]
    return "\n".join("\n".join(lines) for lines in folded)


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return a line for each row, with the columns aligned; the rows have equally many cells."""
    cells = list(rows)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def verdict(gates: Sequence[str], passed: bool) -> str:
    """Say whether the gates that were set are met. gates: what each is on."""
    if not gates:
        return "none set" if passed else "NOT met"
    names = ", ".join(gates)
    return f"passed ({names})" if passed else f"NOT met ({'one of ' if len(gates) > 1 else ''}{names})"


def warned(warnings: Iterable[str]) -> list[tuple[str, object]]:
    """Return each line of the warnings as a pair of name and value, for `lines`."""
    pairs: list[tuple[str, object]] = []
    for warning in warnings:
        first, *others = wrap(warning, WIDTH - len("candidate  "), break_long_words=False)
        pairs += [("WARNING", first), *(("", other) for other in others)]
    return pairs


def skipped(names: Sequence[str]) -> str:
    """Say how many images were skipped, and name the first three; empty where there are none."""
    return f", {len(names)} broken ones skipped: {', '.join(names[:3])}" if names else ""
