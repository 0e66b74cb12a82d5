"""Artifacts of a few bytes, for tests of how they are written and opened."""

from __future__ import annotations

import json
from pathlib import Path

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Artifact, Calibration, Description, Link, Verdict
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.images.preprocessing import Preprocessing

DESCRIPTION = Description(
    kind="onnx",
    stem="tiny",
    variant="tiny",
    architecture=Architecture((3, 3, 9, 3), (96, 192, 384, 768)),
    preprocessing=Preprocessing(resolution=384, crop=1.0),
    precision="int8",
    target="openvino",
    method="ptq",
    recipe={"range": "mse"},
    calibration=Calibration("photos", 2, "ab" * 32),
    calibration_hashes=("0123456789abcdef", "fedcba9876543210"),
    quantized_layers=("head",),
    float_layers=("stem",),
    classes=("cat", "dog"),
    weights=Link("tiny.safetensors", "cd" * 32),
    parent=Link("tiny.onnx", "ef" * 32),
    verdict=Verdict(False, ("speed", "drop"), ("drop (2 points lost, 1 allowed)",), ("few images",)),
)


def write(path: Path, content: bytes = b"graph", companion: bytes | None = None) -> Artifact:
    def files(scratch: Path) -> None:
        scratch.write_bytes(content)
        if companion is not None:
            scratch.with_suffix(".bin").write_bytes(companion)

    return write_artifact(path, DESCRIPTION, files)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def edit_sidecar(path: Path, **changes: object) -> None:
    sidecar = sidecar_path(path)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))
