"""Rows of a table of results: what `validate` and `benchmark` say of one model on one target."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from convnext_edge.commands.benchmark import Benchmark
from convnext_edge.commands.validate import Validate
from convnext_edge.evaluation.records import Record

Row = dict[str, Any]


def join_rows(records: list[Record]) -> list[Row]:
    """Return one row for each model, target and image set: `validate` beside the newest `benchmark`.

    Of a model that was made anew under its name, only results since then count.
    """
    latest = {record["model"]["file"]: record["model"]["sha256"] for record in records}
    current = [r for r in records if latest[r["model"]["file"]] == r["model"]["sha256"]]
    checked = [record for record in current if record["kind"] == "validate"]
    timed = {_key(record): record for record in current if record["kind"] == "benchmark"}
    only_timed = [record for key, record in timed.items() if key not in map(_key, checked)]
    rows = [make_row(r["model"], r["result"], timed.get(_key(r), {}).get("result")) for r in checked]
    return rows + [make_row(r["model"], None, r["result"]) for r in only_timed]


def speedup_of(row: Row) -> str:
    """Return the speedup of a row, with a question mark where it is not known to be reliable."""
    return f"{row['speedup']:.2f}x" + ("" if row.get("reliable") else " ?")


def _key(record: Record) -> tuple[str, str]:
    return record["model"]["file"], record["result"]["target"]


def make_row(model: dict[str, Any], checked: dict[str, Any] | None, timed: dict[str, Any] | None) -> Row:
    """Return the keys of `Validate` and `Benchmark` together, and those of `model_columns`.

    A key is None where nothing was measured; `passed` is that of both.
    """
    unknown = dict.fromkeys(field.name for kind in (Validate, Benchmark) for field in fields(kind))
    passed = all(found["passed"] for found in (checked, timed) if found is not None)
    return {**model, **unknown, **(timed or {}), **(checked or {}), "passed": passed}
