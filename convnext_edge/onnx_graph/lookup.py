"""Who makes and who reads a value of an ONNX graph, and small changes of what nodes read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def producer(model: ModelProto, name: str) -> NodeProto | None:
    """Return the node that makes the value `name`; None for a constant and for the graph's input."""
    return next((node for node in model.graph.node if name in node.output), None)


def consumers(model: ModelProto, name: str) -> list[NodeProto]:
    """Return the nodes that read the value `name`."""
    return [node for node in model.graph.node if name in node.input]


def initializers(model: ModelProto) -> dict[str, TensorProto]:
    """Return the constants of the graph by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def read_attribute(node: NodeProto, name: str, default: Any) -> Any:
    """Return the value of a node's attribute, or `default` where the node does not state it."""
    stated = (attribute for attribute in node.attribute if attribute.name == name)
    return next((helper.get_attribute_value(attribute) for attribute in stated), default)


def replace_input(model: ModelProto, old: str, new: str) -> None:
    """Let all nodes that read the value `old` read `new`."""
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def add_constant(model: ModelProto, name: str, values: NDArray[Any]) -> TensorProto:
    """Add a constant to the graph and return it."""
    constant: TensorProto = model.graph.initializer.add()
    constant.CopyFrom(numpy_helper.from_array(np.asarray(values), name))
    return constant


def forget_shapes(model: ModelProto, names: Collection[str]) -> None:
    """Take out the types and shapes that the graph notes of these values."""
    kept = [value for value in model.graph.value_info if value.name not in names]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def prune_constants(model: ModelProto) -> None:
    """Take out the constants that neither a node nor an output of the graph reads."""
    used = {name for node in model.graph.node for name in node.input}
    used |= {value.name for value in model.graph.output}
    tensors = model.graph.initializer
    for index in reversed(range(len(tensors))):
        if tensors[index].name not in used:
            del tensors[index]
