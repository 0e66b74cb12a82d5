"""Groups of rows that may be compared, of one model and size of images, and names that tell rows apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.commands.rows import Row, place_of
from convnext_edge.evaluation.records import Record

DIGITS = 8  # of a digest that are shown


@dataclass(frozen=True)
class Line:
    """A row, and what it is called on the page."""

    row: Row
    key: str  # short: a letter that charts have room for
    name: str  # of the recipe and the runtime; no other row of the group has it
    colour: int  # number of the runtime's colour in the style sheet


@dataclass(frozen=True)
class Group:
    """What is known of one model at one size of images."""

    model: str
    weights: str | None  # SHA-256 of the FP32 weights; None where an early version kept the results
    resolution: str | None
    task: str
    lines: tuple[Line, ...]
    sensitivities: tuple[Record, ...]  # results of `sensitivity`, the newest last

    @property
    def title(self) -> str:
        """What tells the group from others."""
        size = f" · {self.resolution} px" if self.resolution else ""
        return self.model + size + (f" · weights {self.weights[:DIGITS]}" if self.weights else "")

    @property
    def rows(self) -> list[Row]:
        """The rows alone."""
        return [line.row for line in self.lines]


COLOURS = 5  # in the style sheet
GroupKey = tuple[str, str, str]


def make_groups(rows: Sequence[Row], records: Sequence[Record]) -> list[Group]:
    """Return all groups, sorted by name.

    rows: what `join_rows` returns. records: what they were joined from; those of `sensitivity` belong to the
    group of their model.
    """
    ranked = [record for record in records if record["kind"] == "sensitivity"]
    targets = sorted({row["target"] for row in rows})
    tasks = {_place(row): row["task"] for row in rows if row["task"]}
    told = [{**row, "task": row["task"] or tasks.get(_place(row), "classify")} for row in rows]
    places = dict.fromkeys([*map(_place, told), *(_place(record["model"]) for record in ranked)])
    groups = []
    for place in sorted(places, key=str):
        for task in sorted({row["task"] for row in told if _place(row) == place}) or [""]:
            members = [row for row in told if _place(row) == place and row["task"] == task]
            measured = [record for record in ranked if _place(record["model"]) == place]
            groups.append(_group(members, measured, targets, task or "classify"))
    return groups


def _place(model: Row) -> GroupKey:
    """Return what rows of one group share; of early results, the name stands for the weights."""
    weights = model.get("weights") or ""
    return model["model"] if not weights else "", weights, model.get("resolution") or ""


def _group(rows: Sequence[Row], ranked: Sequence[Record], targets: Sequence[str], task: str) -> Group:
    ordered = sorted(rows, key=lambda row: (row["precision"] != "fp32", row["target"], row["file"]))
    names = tell_apart(ordered)
    lines = tuple(
        Line(row, letters(number), name, targets.index(row["target"]) % COLOURS)
        for number, (row, name) in enumerate(zip(ordered, names, strict=True))
    )
    first = ordered[0] if ordered else ranked[0]["model"]
    return Group(
        model=first["model"],
        weights=first.get("weights"),
        resolution=first.get("resolution"),
        task=task,
        lines=lines,
        sensitivities=tuple(ranked),
    )


def letters(number: int) -> str:
    """Return A to Z, then AA and so on."""
    before, last = divmod(number, 26)
    return (letters(before - 1) if before else "") + chr(ord("A") + last)


def how(row: Row) -> str:
    """Return the method of a row, and its precision where that is not the usual one."""
    usual = row["precision"] in ("int8", row["method"])
    return str(row["method"]) if usual else f"{row['method']} {row['precision']}"


def recipe_of(row: Row) -> str:
    """Return what a recipe is called, and what it changes of the target's own; empty where it is that."""
    changes = ", ".join(f"{key} = {_value(value)}" for key, value in row["changes"].items())
    name = row.get("recipe_name")
    return f"{name} ({changes})" if name and changes else str(name or changes)


def _value(value: object) -> str:
    """Return a value of a recipe as text; of a list of several, only their number."""
    if isinstance(value, dict):
        return f"{len(value)} settings"
    return f"{len(value)} patterns" if isinstance(value, list) and len(value) > 1 else str(value)


# What is added to names that are the same without it.
MORE: tuple[Callable[[Row], str], ...] = (
    lambda row: Path(row["data"]).name if row["data"] else "",
    lambda row: "simulated" if row["simulated"] else "",
    lambda row: row["file"],
    lambda row: row.get("data_path") or "",
    lambda row: row.get("folder") or "",
)


def tell_apart(rows: Sequence[Row]) -> list[str]:
    """Return a name for each row by recipe and runtime, with as much more as tells it from the others."""
    names = [
        " · ".join(filter(None, (how(row), recipe_of(row), row["target"], place_of(row)))) for row in rows
    ]
    for more in MORE:
        seen = Counter(names)
        added = [more(row) if seen[name] > 1 else "" for name, row in zip(names, rows, strict=True)]
        names = [f"{name} · {text}" if text else name for name, text in zip(names, added, strict=True)]
    seen = Counter(names)
    return [
        f"{name} ({names[:number].count(name) + 1})" if seen[name] > 1 else name
        for number, name in enumerate(names)
    ]
