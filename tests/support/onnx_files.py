"""ONNX files and weights that the tests of reading them share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from support.places import TESTS

from convnext_edge.network.convnext import ConvNeXt, as_tuple

IMAGES = TESTS / "fixtures" / "checkpoints" / "input.npy"
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


def answers(model: ConvNeXt, images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what a model answers to normalized images."""
    with torch.no_grad():
        return tuple(answer.numpy() for answer in as_tuple(model(torch.from_numpy(images))))


def largest_difference(model: ConvNeXt, other: ConvNeXt) -> float:
    """Return by how much the weights of two models of one architecture differ at most."""
    found, wanted = model.state_dict(), other.state_dict()
    assert found.keys() == wanted.keys()
    return max(float((found[name] - wanted[name]).abs().max()) for name in wanted)
