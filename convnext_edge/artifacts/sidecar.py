"""Sidecars: X.json beside an artifact X, from values to JSON and back.

A sidecar holds the digest of its artifact and of its parent, the architecture, target, precision,
preprocessing, recipe, calibration set, tool versions and command line.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Artifact, Calibration, Description, Link, Verdict
from convnext_edge.artifacts.names import fault, quoted
from convnext_edge.artifacts.shapes import FormatShape, SidecarShape, names
from convnext_edge.detection import Cascade, Detection
from convnext_edge.errors import ArtifactError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.reading import DamagedError, check, read_json, shown

SIDECAR_FORMAT = 2  # of format 1, a crop of 1 squashed images, and other ways to prepare them were unknown
READABLE = (1, SIDECAR_FORMAT)
AGAIN = "Make the artifact again."


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of the file `path` is."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> Artifact:
    """Return what the sidecar of `path` says, without a look at the file itself.

    Raises ArtifactError for what is no sidecar of this version, is damaged, or is of another file.
    """
    sidecar = sidecar_path(path)
    value = read_json(sidecar, FormatShape, hint=AGAIN)
    if value["format"] not in READABLE:
        raise ArtifactError(
            f"{sidecar} has format {value['format']}, this version reads {' and '.join(map(str, READABLE))}",
            hint="Make the artifact again with this version.",
        )
    try:
        check(value, SidecarShape)
        _check_names(value)
    except DamagedError as error:
        raise ArtifactError(f"{sidecar} is damaged: {error}", hint=AGAIN) from error
    files = value["files"]
    if path.name not in files:
        raise ArtifactError(
            f"{sidecar} describes {', '.join(sorted(files))}, not {path.name}", hint="Rename it back."
        )
    return Artifact(path, _description(value), files, value["tools"], value["command"])


def write_sidecar(artifact: Artifact, path: Path) -> None:
    """Write what is known of an artifact as the sidecar `path`; raise ArtifactError for a bad name."""
    value = _to_json(artifact)
    try:
        _check_names(value)
    except DamagedError as error:
        raise ArtifactError(
            f"cannot write {shown(artifact.path.name, quoted)}: {error}",
            hint="Give the output another name with -o.",
        ) from error
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _check_names(value: dict[str, Any]) -> None:
    for place, name in names(value).items():
        why = fault(name)
        if why:
            raise DamagedError(f"{place} must be a plain name, is {shown(name, quoted)}, which {why}")


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
    # what is missing has come later, and has its default: all else was checked to be there
    known: dict[str, Any] = {f.name: value[f.name] for f in fields(Description) if f.name in value}
    known["architecture"] = _architecture(known["architecture"])
    known["preprocessing"] = Preprocessing.from_json(known["preprocessing"])
    for name, kind in (("weights", Link), ("parent", Link), ("calibration", Calibration)):
        found = known[name]
        known[name] = None if found is None else kind(**{f.name: found[f.name] for f in fields(kind)})
    for name in ("quantized_layers", "float_layers", "classes", "calibration_hashes"):
        known[name] = tuple(known[name])
    known["assumed"] = tuple(known.get("assumed", ()))
    if known.get("verdict") is not None:
        told = known["verdict"]
        lists = {name: tuple(told[name]) for name in ("gates", "unmet", "warnings")}
        known["verdict"] = Verdict(told["passed"], **lists)
    return Description(**known)


def _architecture(value: dict[str, Any]) -> Architecture:
    given = {f.name: value[f.name] for f in fields(Architecture) if f.name in value}
    known: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
    if known.get("detection") is not None:
        known["detection"] = Detection(**known["detection"])
    if known.get("cascade") is not None:
        known["cascade"] = Cascade(**known["cascade"])
    return Architecture(**known)
