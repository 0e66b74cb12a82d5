"""Q/DQ nodes (QuantizeLinear and DequantizeLinear) of an ONNX graph: read, rewritten and taken out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convnext_edge.onnx_graph.lookup import (
    add_constant,
    consumers,
    forget_shapes,
    initializers,
    producer,
    prune_constants,
    read_attribute,
    replace_input,
)
from convnext_edge.onnx_graph.naming import INPUT, is_multiplication

QDQ = ("QuantizeLinear", "DequantizeLinear")
LAYOUT_ONLY = ("Transpose", "Reshape")  # operators that move values and compute nothing


# --- reading -------------------------------------------------------------------------------------


def is_quantized(model: ModelProto) -> bool:
    """Return whether anything in the graph is quantized, if only weights."""
    return any(node.op_type == "DequantizeLinear" for node in model.graph.node)


def quantizes_activations(model: ModelProto) -> bool:
    """Return whether the graph quantizes values that it computes."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def placement(model: ModelProto) -> dict[str, bool]:
    """Return of each multiplication by name whether both its input and its weight are quantized."""
    found = {}
    for node in model.graph.node:
        if is_multiplication(model, node):
            found[node.name] = all(is_dequantized(model, name) for name in node.input[:2])
    return found


def is_dequantized(model: ModelProto, name: str) -> bool:
    """Return whether the value `name` comes from a DequantizeLinear."""
    source = producer(model, name)
    return source is not None and source.op_type == "DequantizeLinear"


def dequantize(node: NodeProto, constants: Mapping[str, TensorProto]) -> NDArray[np.float32]:
    """Return what a DequantizeLinear of constants puts out: (codes - zero point) * scale.

    https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
    """
    codes, scale, *zero_point = (numpy_helper.to_array(constants[name]) for name in node.input if name)
    steps = codes.astype(np.float32)
    if zero_point:
        steps -= along_channels(node, zero_point[0].astype(np.float32), codes.ndim)
    weight: NDArray[np.float32] = steps * along_channels(node, scale, codes.ndim)
    return weight


def along_channels(node: NodeProto, values: NDArray[Any], rank: int) -> NDArray[Any]:
    """Return the scale or zero point of a Q/DQ node in a shape that broadcasts against its codes.

    values: a scalar, or (channels,). rank: number of axes of the codes.
    """
    if not values.ndim:
        return values
    axis = read_attribute(node, "axis", 1)
    return values.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


# --- rewriting -----------------------------------------------------------------------------------


def drop_byte_casts(model: ModelProto) -> None:
    """Turn uint8 -> Cast -> QuantizeLinear(scale 1) -> DequantizeLinear into uint8 -> DequantizeLinear.

    The image's bytes are codes already; between the two only changes of layout are let through.
    """
    graph = model.graph
    for cast in [n for n in graph.node if n.op_type == "Cast" and n.input[0] == INPUT]:
        chain = [cast]
        while (users := consumers(model, chain[-1].output[0])) and len(users) == 1:
            chain.append(users[0])
            if users[0].op_type not in LAYOUT_ONLY:
                break
        if chain[-1].op_type != "QuantizeLinear":
            continue
        replace_input(model, cast.output[0], INPUT)
        quantize = chain[-1]
        replace_input(model, quantize.output[0], quantize.input[0])
        stale = {output for node in chain for output in node.output}
        graph.node.remove(cast)
        graph.node.remove(quantize)
        forget_shapes(model, stale)


def drop_quantization(model: ModelProto) -> None:
    """Take Q/DQ out, and leave the FP32 graph of the same form: weights become float, bytes are cast."""
    constants, outputs = initializers(model), {value.name for value in model.graph.output}
    for node in [n for n in model.graph.node if n.op_type in QDQ]:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            add_constant(model, node.output[0], dequantize(node, constants))
        elif node.output[0] in outputs or (node.op_type == "DequantizeLinear" and _reads_input(model, node)):
            # a value that must keep its name, or the image's bytes
            cast = helper.make_node("Cast", node.input[:1], node.output, name=node.name, to=TensorProto.FLOAT)
            node.CopyFrom(cast)
            continue
        else:
            replace_input(model, node.output[0], node.input[0])
        model.graph.node.remove(node)
    prune_constants(model)
    del model.graph.value_info[:]


def _reads_input(model: ModelProto, node: NodeProto) -> bool:
    """Return whether a node reads the image, perhaps after a change of layout."""
    source = producer(model, node.input[0])
    while source is not None and source.op_type in LAYOUT_ONLY:
        node, source = source, producer(model, source.input[0])
    return bool(node.input[0] == INPUT)


def drop_weight_only_quantization(model: ModelProto) -> None:
    """Make weights float again where the input of their product is float.

    Runtimes that quantize inputs by themselves would do so there too, against what the graph says.
    """
    constants = initializers(model)
    for node in [n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in constants]:
        products = consumers(model, node.output[0])
        if not any(is_dequantized(model, product.input[0]) for product in products):
            add_constant(model, node.output[0], dequantize(node, constants))
            model.graph.node.remove(node)
