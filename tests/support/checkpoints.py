"""What the tests of checkpoints share: what other libraries wrote, unusual models, and files to write."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from support.places import TESTS
from torch import Tensor

from convnext_edge.architecture import Architecture

FIXTURES = TESTS / "fixtures" / "checkpoints"
UNUSUAL = [
    Architecture(depths=(1, 2), dims=(8, 12), patch=2, classes=3),
    Architecture(
        depths=(1, 1, 1, 1, 1), dims=(4, 6, 8, 10, 12), patch=2, classes=2, grn=True, layer_scale=False
    ),
    Architecture(depths=(2,), dims=(8,), patch=8, classes=5, layer_scale=False),
]

State = dict[str, Tensor]


def fixture(name: str) -> State:
    """Return the weights of a file that another library wrote."""
    path = FIXTURES / name
    if path.suffix == ".safetensors":
        return load_file(path)
    content = torch.load(path, weights_only=True)
    return content.get("model", content)


def write(tmp_path: Path, content: object) -> Path:
    """Write anything as a PyTorch file."""
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    return path
