"""What the tests of the simulation share: ONNX Runtime without its optimizations, and PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule

Array = NDArray[Any]


def in_onnxruntime(path: Path, x: Array) -> Array:
    """Return what ONNX Runtime answers without its optimizations."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


def in_simulation(simulation: GraphModule, x: Array) -> Array:
    """Return what the simulation in PyTorch answers."""
    with torch.no_grad():
        result: Array = simulation(torch.from_numpy(x)).numpy()
    return result
