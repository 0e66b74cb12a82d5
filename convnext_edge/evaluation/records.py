"""Results of `validate`, `benchmark` and `sensitivity`, kept in the workspace for `report` to show.

The folder `results` of the workspace has one JSON file for each command, model, target and image set; a
newer result overwrites an older one. Where there is no workspace, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import write_text
from convnext_edge.artifacts.lineage import steps_to
from convnext_edge.artifacts.names import fault, printable
from convnext_edge.artifacts.provenance import command_line, tool_versions
from convnext_edge.artifacts.shapes import FormatShape
from convnext_edge.artifacts.store import digest_of
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.cpu import read_cpu
from convnext_edge.errors import ArtifactError
from convnext_edge.evaluation.record_shapes import RESULTS, RecordShape
from convnext_edge.progress import note
from convnext_edge.reading import DamagedError, check, read_json
from convnext_edge.targets.registry import DEFAULT, find_target

FORMAT = 1

Record = dict[str, Any]


def keep(command: str, result: dict[str, Any], artifact: Artifact, workspace: Workspace) -> None:
    """Keep the result of a command about an artifact; where writing fails, only a note says so.

    result: the JSON object of the command, with the key `target`, and `data` where images were used.
    """
    if not workspace.folder.is_dir():
        return
    shown = {key: readable(value) for key, value in result.items()}
    parts = [command, artifact.path.name, shown["target"]]
    folder = folder_of(artifact, workspace)
    if folder:  # of files that share a name, each has its result
        parts.append(hashlib.sha256(folder.encode()).hexdigest()[:8])
    if "data" in shown:
        parts.append(Path(shown["data"]).name)
    if shown.get("data_path"):  # of sets that share a name, each has its result
        parts.append(hashlib.sha256(shown["data_path"].encode()).hexdigest()[:8])
    device: dict[str, Any] | None = result.get("device")
    if device:  # a result from there replaces none from here
        parts.append(f"{device['url']} {device['runner']}")
    record = {
        "format": FORMAT,
        "kind": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "tools": tool_versions(),
        "cpu": cpu_of(device),
        "model": {**model_columns(artifact), "folder": folder},
        "result": shown,
    }
    path = workspace.results / (_file_name(command, "-".join(parts)) + ".json")
    try:
        write_text(path, json.dumps(record, indent=2) + "\n")
    except ArtifactError as error:
        note(f"the result is not kept for `report`: {error.message}")


def folder_of(artifact: Artifact, workspace: Workspace) -> str:
    """Return the folder of an artifact; nothing for the workspace's own."""
    folder = artifact.path.parent.resolve()
    return "" if folder == workspace.folder.resolve() else printable(str(folder))


def readable(value: Any) -> Any:
    """Return a value of a result with texts that can be read again: names may be no UTF-8."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {key: readable(part) for key, part in value.items()}
        case list() | tuple():
            return [readable(part) for part in value]
    return value


def cpu_of(device: dict[str, Any] | None) -> dict[str, Any]:
    """Return the CPU that a result is from: the device's, or else this machine's."""
    if device is None:
        return asdict(read_cpu())
    return {"name": device["cpu"], "isa": device["isa"], "int8_saturates": device["int8_saturates"]}


def model_columns(artifact: Artifact) -> dict[str, Any]:
    """Return the columns of a table's row that describe the model, without the figures.

    The key `changes` has those values of the recipe that differ from the target's own recipe, `weights` the
    digest of the FP32 weights, `made` the commands that made the file, from the checkpoint on.
    """
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
        "weights": described.weights.sha256 if described.weights else None,
        "resolution": described.preprocessing.size_text,
        "recipe_name": described.recipe_name,
        "recipe": described.recipe,
        "calibration": asdict(described.calibration) if described.calibration else None,
        "made": [asdict(step) for step in steps_to(artifact)],
    }


def read_records(workspace: Workspace) -> list[Record]:
    """Return all results, the oldest first; raise ArtifactError for a file of another version or kind."""
    return sorted(_read(workspace.results), key=lambda record: str(record["date"]))


def current_records(records: Sequence[Record], workspace: Workspace) -> list[Record]:
    """Return the results that are of files as they are now.

    Those of one in the workspace that was made again under its name are left out, and a note says so: by the
    digest, as a clock that was set says nothing of what is newer.
    """
    stale = [record for record in records if _is_replaced(record, workspace)]
    for file in dict.fromkeys(record["model"]["file"] for record in stale):
        kinds = dict.fromkeys(record["kind"] for record in stale if record["model"]["file"] == file)
        note(f"left out: {' and '.join(kinds)} of an earlier {file}, which was made again since")
    return [record for record in records if record not in stale]


def _is_replaced(record: Record, workspace: Workspace) -> bool:
    """Return whether a result is of a file of the workspace that is another one now."""
    if record["model"].get("folder") != "":  # of another folder, or kept by an early version
        return False
    return digest_of(workspace.folder / record["model"]["file"]) not in (None, record["model"]["sha256"])


def _read(folder: Path) -> Iterator[Record]:
    for path in folder.glob("*.json"):
        record = read_json(path, FormatShape, hint="Delete it.")
        if record["format"] != FORMAT:
            raise ArtifactError(f"{path} was kept by another version", hint="Delete it.")
        try:
            check(record, RecordShape)
            check(record["result"], RESULTS[record["kind"]])
        except DamagedError as error:
            raise ArtifactError(f"{path} is damaged: {error}", hint="Delete it.") from error
        yield record


def _file_name(command: str, wanted: str) -> str:
    """Return the name of a result's file: `wanted`, or a digest of it where it is no plain file name."""
    return f"{command}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}" if fault(wanted) else wanted
