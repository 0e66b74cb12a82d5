"""Results kept in the workspace: what `validate` and `benchmark` found, for `report` to show.

One JSON file for each command, model, target and image set, in the folder `results` of the workspace; a
newer result takes the place of an older one. Where there is no workspace, nothing is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import write_text
from convnext_edge.artifacts.provenance import command_line, tool_versions
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.cpu import read_cpu
from convnext_edge.errors import ArtifactError
from convnext_edge.progress import note
from convnext_edge.results import Benchmark, Validate
from convnext_edge.targets.registry import DEFAULT, find_target

FOLDER = "results"
FORMAT = 1

Record = dict[str, Any]
Row = dict[str, Any]


def keep(result: Validate | Benchmark, artifact: Artifact, workspace: Workspace) -> None:
    """Write a result down. Where that fails, a note says so: the result itself is none the worse."""
    if not workspace.folder.is_dir():
        return
    kind = type(result).__name__.lower()
    parts = [kind, artifact.path.name, result.target]
    if isinstance(result, Validate):
        parts.append(Path(result.data).name)
    record = {
        "format": FORMAT,
        "kind": kind,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "tools": tool_versions(),
        "cpu": asdict(read_cpu()),
        "model": describe(artifact),
        "result": result.to_json(),
    }
    path = workspace.folder / FOLDER / ("-".join(parts) + ".json")
    try:
        write_text(path, json.dumps(record, indent=2) + "\n")
    except ArtifactError as error:
        note(f"the result is not kept for `report`: {error.message}")


def describe(artifact: Artifact) -> dict[str, Any]:
    """What a row says of its model beside the figures. changes: of the target's own recipe."""
    described = artifact.description
    usual = find_target(described.target or DEFAULT).recipe.to_json()
    recipe = described.recipe or {}
    return {
        "model": described.stem,
        "file": artifact.path.name,
        "sha256": artifact.sha256,
        "bytes": artifact.bytes,
        "method": described.method or described.precision,
        "precision": described.precision,
        "changes": {key: value for key, value in recipe.items() if usual.get(key, value) != value},
    }


def read_records(workspace: Workspace) -> list[Record]:
    """All that is kept, oldest first. Raises ArtifactError for a file that is no record of this version."""
    return sorted(_read(workspace.folder / FOLDER), key=lambda record: str(record["date"]))


def _read(folder: Path) -> Iterator[Record]:
    for path in folder.glob("*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            fit = record["format"] == FORMAT and {"kind", "date", "model", "result"} <= record.keys()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path} is not a result of ours: {error!r}", hint="Delete it.") from error
        if not fit:
            raise ArtifactError(f"{path} was kept by another version", hint="Delete it.")
        yield record


def join_rows(records: list[Record]) -> list[Row]:
    """One row for each model, target and image set: what `validate` says, beside the newest `benchmark`.

    Of a model that was made anew under its name, only results since then count.
    """
    latest = {record["model"]["file"]: record["model"]["sha256"] for record in records}
    current = [r for r in records if latest[r["model"]["file"]] == r["model"]["sha256"]]
    checked = [record for record in current if record["kind"] == "validate"]
    timed = {_key(record): record for record in current if record["kind"] == "benchmark"}
    only_timed = [record for key, record in timed.items() if key not in map(_key, checked)]
    rows = [make_row(r["model"], r["result"], timed.get(_key(r), {}).get("result")) for r in checked]
    return rows + [make_row(r["model"], None, r["result"]) for r in only_timed]


def _key(record: Record) -> tuple[str, str]:
    return record["model"]["file"], record["result"]["target"]


def make_row(model: dict[str, Any], checked: dict[str, Any] | None, timed: dict[str, Any] | None) -> Row:
    """The keys of `Validate` and `Benchmark` together, and those of `describe`.

    A key is None where nothing was measured; `passed` is that of both.
    """
    unknown = dict.fromkeys(field.name for kind in (Validate, Benchmark) for field in fields(kind))
    passed = all(found["passed"] for found in (checked, timed) if found is not None)
    return {**model, **unknown, **(timed or {}), **(checked or {}), "passed": passed}
