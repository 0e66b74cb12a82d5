"""ONNX files and weights that the tests of reading them share."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto
from support.places import TESTS

FOREIGN = TESTS / "fixtures" / "onnx"
OURS = [
    path
    for folder in ("checkpoints", "architectures")
    for path in sorted((TESTS / "fixtures" / folder).iterdir())
    if path.suffix in (".pth", ".pt", ".safetensors")
]


def saved(model: ModelProto, folder: Path) -> Path:
    """Write a graph into a folder."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path
