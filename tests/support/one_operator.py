"""Graphs of one operator or a few, as the tests of the simulation write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support.simulated import Array

FLOAT = TensorProto.FLOAT


@dataclass(frozen=True)
class Case:
    """Nodes from "x" (batch first and dynamic) to "y", and the constants between."""

    name: str
    nodes: list[onnx.NodeProto]
    constants: dict[str, Array | TensorProto]
    shape: tuple[int, ...] = (3, 4, 6, 6)
    dtype: type[np.generic] = np.float32
    result: int = FLOAT

    @property
    def quantizes(self) -> bool:
        return any(node.op_type == "QuantizeLinear" for node in self.nodes)


def one(operator: str, *constants: Any, shape: tuple[int, ...] = (3, 4, 6, 6), **attributes: Any) -> Case:
    """A single node whose inputs after "x" are constants."""
    held = {f"c{i}": value for i, value in enumerate(constants) if value is not None}
    inputs = ["x", *(f"c{i}" if value is not None else "" for i, value in enumerate(constants))]
    name = "-".join([operator, *(f"{key}_{value}" for key, value in attributes.items())])
    return Case(name, [helper.make_node(operator, inputs, ["y"], **attributes)], held, shape)


def floats(*shape: int) -> Array:
    """Return normally distributed values, the same at each call."""
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def write(case: Case, path: Path) -> Path:
    """As a file whose input has a dynamic first axis."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(case.dtype))
    result = TensorProto.UINT8 if case.nodes[-1].op_type == "QuantizeLinear" else case.result
    graph = helper.make_graph(
        case.nodes,
        "case",
        [helper.make_tensor_value_info("x", kind, ["N", *case.shape[1:]])],
        [helper.make_tensor_value_info("y", result, None)],
        [
            numpy_helper.from_array(value, name) if isinstance(value, np.ndarray) else value
            for name, value in case.constants.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path
