"""Rows of a table of results: what `validate` and `benchmark` say of one model on one target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from convnext_edge.commands.benchmark.result import Benchmark
from convnext_edge.commands.validate.result import Validate
from convnext_edge.evaluation.records import Record

Row = dict[str, Any]
OF_A_MAP = "_sqnr_db"  # how the name of a figure ends that each map of features has


@dataclass(frozen=True)
class Figure:
    """A figure of a task, as tables show it."""

    title: str  # short: a table has 80 columns
    key: str  # of the row or of its metrics
    form: str  # how the value is written

    def value(self, row: Row) -> float | None:
        """Return the value; None where it is not known."""
        found: float | None = (row["metrics"] or {}).get(self.key, row.get(self.key))
        return found

    def text(self, row: Row) -> str:
        """Return the value as people read it; nothing where it is not known."""
        found = self.value(row)
        return "" if found is None else self.form.format(found)


# Of each task the figures that say most, apart from the SQNR.
FIGURES: dict[str, tuple[Figure, ...]] = {
    "classify": (
        Figure("top-1", "candidate_top1", "{:.2%}"),
        Figure("drop", "drop_points", "{:+.2f}"),
        Figure("agreement", "agreement", "{:.2%}"),
    ),
    "multilabel": (
        Figure("mAP", "map_candidate", "{:.2%}"),
        Figure("drop", "drop_points", "{:+.2f}"),
        Figure("agreement", "agreement", "{:.2%}"),
    ),
    "regress": (
        Figure("R2", "r2", "{:.5f}"),
        Figure("error", "mean_error", "{:.4f}"),
        Figure("largest", "largest_error", "{:.3f}"),
    ),
    "embed": (
        Figure("cosine", "cosine_mean", "{:.5f}"),
        Figure("p1", "cosine_p1", "{:.4f}"),
        Figure("10-NN", "neighbours_kept", "{:.0%}"),
        Figure("drop", "drop_points", "{:+.2f}"),
    ),
    "segment": (
        Figure("mIoU", "miou", "{:.2%}"),
        Figure("drop", "drop_points", "{:+.2f}"),
        Figure("agreement", "agreement", "{:.2%}"),
    ),
    "detect": (
        Figure("box AP", "box_ap", "{:.2%}"),
        Figure("masks", "mask_ap", "{:.2%}"),
        Figure("drop", "drop_points", "{:+.2f}"),
        Figure("agreed", "agreement", "{:.2%}"),
    ),
}

LEGENDS: dict[str, str] = {
    "multilabel": "mAP: mean average precision; drop: its points lost; agreement: of the decisions",
    "regress": "error: mean and largest, in deviations of the reference's values",
    "embed": "cosine: mean and 1st percentile (p1); 10-NN: nearest neighbours kept, of 10;"
    " drop: points of the accuracy by them",
    "segment": "mIoU: mean over the classes; drop: its points lost; agreement: of the pixels",
    "detect": "AP, of boxes and masks: over IoUs of 0.5 to 0.95; drop: points of the one that lost more;"
    " agreed: objects that both find",
    "features": "map0 and so on: SQNR of each map in dB; SQNR: of the worst map",
}


def task_of(rows: Sequence[Row]) -> str:
    """Return the task of rows of one model; one that was only timed tells none."""
    return next((row["task"] for row in rows if row["task"]), "classify")


def figures_of(rows: Sequence[Row]) -> list[Figure]:
    """Return the figures that rows of one task have; of features, the SQNR of each map."""
    known = FIGURES.get(task_of(rows))
    if known is None:
        maps = dict.fromkeys(key for row in rows for key in row["metrics"] or {} if key.endswith(OF_A_MAP))
        known = tuple(Figure(key.removesuffix(OF_A_MAP), key, "{:.1f}") for key in maps)
    return [figure for figure in known if any(figure.value(row) is not None for row in rows)]


def join_rows(records: list[Record]) -> list[Row]:
    """Return one row for each model, target and image set: `validate` beside the newest `benchmark`.

    Of a model that was made anew under its name, only results since then count.
    """
    latest = {_file(record): record["model"]["sha256"] for record in records}
    current = [r for r in records if latest[_file(r)] == r["model"]["sha256"]]
    checked = [record for record in current if record["kind"] == "validate"]
    timed = {_key(record): record for record in current if record["kind"] == "benchmark"}
    only_timed = [record for key, record in timed.items() if key not in map(_key, checked)]
    rows = [make_row(r["model"], r["result"], timed.get(_key(r), {}).get("result")) for r in checked]
    return rows + [make_row(r["model"], None, r["result"]) for r in only_timed]


def speedup_of(row: Row) -> str:
    """Return the speedup of a row, with a question mark where it is not known to be reliable."""
    return f"{row['speedup']:.2f}x" + ("" if row.get("reliable") else " ?")


def place_of(row: Row) -> str:
    """Return the device that a row is from, for people; empty for this machine."""
    device = row.get("device")
    if not device:
        return ""
    return str(device["url"]) + (f", simulated by {device['runner']}" if device["emulated"] else "")


def _key(record: Record) -> tuple[object, ...]:
    """Return what results must share to stand in one row: those of two machines never do."""
    device = record["result"].get("device") or {}
    return *_file(record), record["result"]["target"], device.get("url"), device.get("runner")


def _file(record: Record) -> tuple[str, str]:
    """Return the name of a model's file, and its folder where that is not the workspace."""
    return record["model"]["file"], record["model"].get("folder") or ""


def make_row(model: dict[str, Any], checked: dict[str, Any] | None, timed: dict[str, Any] | None) -> Row:
    """Return the keys of `Validate` and `Benchmark` together, and those of `model_columns`.

    A key is None where nothing was measured; `passed` and `gates` are those of both, and `unmet` are the
    gates of the one that did not pass.
    """
    unknown = dict.fromkeys(field.name for kind in (Validate, Benchmark) for field in fields(kind))
    both = [found for found in (checked, timed) if found is not None]
    decided = {
        "passed": all(found["passed"] for found in both),
        "gates": [gate for found in both for gate in found.get("gates", ())],
        "unmet": [gate for found in both if not found["passed"] for gate in found.get("gates", ())],
    }
    return {**unknown, **model, **(timed or {}), **(checked or {}), **decided}
