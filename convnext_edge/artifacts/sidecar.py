"""Sidecars: X.json beside an artifact X, from values to JSON and back.

A sidecar holds the digest of its artifact and of its parent, the architecture, target, precision,
preprocessing, recipe, calibration set, tool versions and command line.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact, Calibration, Description, Link
from convnext_edge.errors import ArtifactError
from convnext_edge.images.preprocessing import Preprocessing

SIDECAR_FORMAT = 1


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of the file `path` is."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> Artifact:
    """Return what the sidecar of `path` says, without a look at the file itself.

    Raises ArtifactError for what is no sidecar of this version, or of another file.
    """
    sidecar = sidecar_path(path)
    try:
        value = json.loads(sidecar.read_text(encoding="utf-8"))
        if value["format"] != SIDECAR_FORMAT:
            raise ArtifactError(
                f"{sidecar} has format {value['format']}, this version reads {SIDECAR_FORMAT}",
                hint="Make the artifact again with this version.",
            )
        files = dict(value["files"])
        if path.name not in files:
            raise ArtifactError(
                f"{sidecar} describes {', '.join(sorted(files))}, not {path.name}", hint="Rename it back."
            )
        return Artifact(path, _description(value), files, dict(value["tools"]), str(value["command"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"it has no key {error}" if isinstance(error, KeyError) else str(error)
        raise ArtifactError(
            f"{sidecar} is not a sidecar of ours: {why}", hint="Make the artifact again."
        ) from error


def write_sidecar(artifact: Artifact, path: Path) -> None:
    """Write what is known of an artifact as the sidecar `path`."""
    path.write_text(json.dumps(_to_json(artifact), indent=2) + "\n", encoding="utf-8")


def _to_json(artifact: Artifact) -> dict[str, Any]:
    described = {
        **asdict(artifact.description),
        "preprocessing": artifact.description.preprocessing.to_json(),
    }
    return {
        "format": SIDECAR_FORMAT,
        "sha256": artifact.sha256,
        "files": artifact.files,
        **described,
        "tools": artifact.tools,
        "command": artifact.command,
    }


def _description(value: dict[str, Any]) -> Description:
    known: dict[str, Any] = {f.name: value[f.name] for f in fields(Description)}
    known["preprocessing"] = Preprocessing.from_json(known["preprocessing"])
    for name, kind in (("weights", Link), ("parent", Link), ("calibration", Calibration)):
        known[name] = None if known[name] is None else kind(**known[name])
    for name in ("quantized_layers", "float_layers", "classes", "calibration_hashes"):
        known[name] = tuple(known[name])
    return Description(**known)
