"""What all results have in common."""

from __future__ import annotations

from dataclasses import MISSING, Field, asdict, dataclass, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnext_edge.errors import UsageError

if TYPE_CHECKING:
    import pandas

GATE_NOT_MET = 3
SHORT = 8  # values in a repr
LONGEST = 50  # characters of one of them
ROWS = 20  # of a table in a notebook


@dataclass(frozen=True)
class Result:
    """What a command returns: the object that `--json` prints."""

    def __init_subclass__(cls) -> None:
        """Keep the short `repr`: dataclasses would write one with all values."""
        cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        """Return the name of the class with the values that say most, on one line."""
        told = [f"{field.name}={_short(value)}" for field in fields(self) if self._tells(field)
                for value in [getattr(self, field.name)]]  # fmt: skip
        rest = ["..."] if len(told) > SHORT else []
        return f"{type(self).__name__}({', '.join([*told[:SHORT], *rest])})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a table of the rows, or of the values by name."""
        rows = self.table_rows()
        if len(rows) == 1:
            shown = [{"": key, "value": value} for key, value in rows[0].items() if _is_single(value)]
        else:
            shown = [{key: row.get(key) for key in _columns(rows)} for row in rows[:ROWS]]
        more = f"<p>{len(rows) - ROWS} more rows</p>" if len(rows) > ROWS else ""
        return f"<p><b>{type(self).__name__}</b></p>{_html_table(shown)}{more}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `json.dumps`; paths become strings."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def table_rows(self) -> list[dict[str, Any]]:
        """Return the result as the rows of a table: one, where it is about a single thing."""
        return [self.to_json()]

    def to_pandas(self) -> pandas.DataFrame:
        """Return the rows of `table_rows` as a table; values in objects are columns with dots in their names.

        Raises UsageError where pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise UsageError(
                "to_pandas needs pandas, which is not installed",
                hint="Install it: pip install 'convnext-edge[pandas]'.",
            ) from error
        return pandas.json_normalize(self.table_rows())

    @property
    def exit_code(self) -> int:
        """Return the exit code of a command with this result: 0, or 3 where a gate was not met."""
        return GATE_NOT_MET if getattr(self, "passed", True) is False else 0

    def next_command(self) -> str:
        """Return the command that most people run next, with the names of files in it; empty for none."""
        return ""

    def summary(self) -> str:
        """Return a short text for a terminal of 80 columns."""
        return "\n".join(f"{key}: {value}" for key, value in self.to_json().items())

    def _tells(self, field: Field[Any]) -> bool:
        """Return whether a value is single, or a number of rows, and not the default."""
        value = getattr(self, field.name)
        if isinstance(value, list | tuple):
            return bool(value) and isinstance(value[0], Result | dict)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        return _is_single(value) and value is not None and value != default


def _is_single(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | Path)


def _short(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"<{len(value)} rows>"
    if isinstance(value, float):
        return f"{value:.5g}"
    text = repr(str(value) if isinstance(value, Path) else value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]}...{text[-1]}"


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return the names of single values that a row or another has."""
    named = dict.fromkeys(key for row in rows for key in row)
    return [
        key
        for key in named
        if all(_is_single(row.get(key)) for row in rows) and any(row.get(key) is not None for row in rows)
    ]


def _html_table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>no rows</p>"
    head = "".join(f"<th>{escape(key)}</th>" for key in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _plain(value: object) -> object:
    match value:
        case Path():
            return str(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
