"""ONNX graphs: looked through, tidied so that a person and every runtime reads them well, and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convnext_edge.errors import ExportError

INPUT, OUTPUT = "image", "logits"
PROTOBUF_LIMIT = 2**31 - 2**26  # bytes of weights in one file, short of protobuf's 2 GiB
MULTIPLICATIONS = ("Conv", "MatMul", "Gemm")
LAYOUT_ONLY = ("Transpose", "Reshape")


def save(model: ModelProto, path: Path) -> None:
    """Write and check a model, beside it its weights where they are too large for one file."""
    large = weight_bytes(model) > PROTOBUF_LIMIT
    onnx.save(model, str(path), save_as_external_data=large, location=path.name + ".data" if large else None)
    try:
        onnx.checker.check_model(str(path), full_check=not large)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exporter wrote an invalid graph: {error}") from error


def weight_bytes(model: ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def strip(model: ModelProto) -> None:
    """Take out the exporter's notes: they hold local paths and stack traces."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for item in [*model.graph.node, *model.graph.initializer, *model.graph.value_info]:
        del item.metadata_props[:]
        item.doc_string = ""
    for value in [*model.graph.input, *model.graph.output]:
        del value.metadata_props[:]


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
        kept = [value for value in graph.value_info if value.name not in stale]
        del graph.value_info[:]
        graph.value_info.extend(kept)


def drop_quantization(model: ModelProto) -> None:
    """Take Q/DQ out, and leave the FP32 graph of the same form: weights become float, bytes are cast."""
    constants, outputs = initializers(model), {value.name for value in model.graph.output}
    for node in [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            weight = numpy_helper.from_array(_dequantized(node, constants), node.output[0])
            model.graph.initializer.append(weight)
        elif node.output[0] in outputs or (node.op_type == "DequantizeLinear" and _reads_input(model, node)):
            # a value that must keep its name, or the image's bytes
            cast = helper.make_node("Cast", node.input[:1], node.output, name=node.name, to=TensorProto.FLOAT)
            node.CopyFrom(cast)
            continue
        else:
            replace_input(model, node.output[0], node.input[0])
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]


def _dequantized(node: NodeProto, constants: dict[str, TensorProto]) -> NDArray[np.float32]:
    """What a DequantizeLinear of constants puts out."""
    codes, scale, *zero_point = (numpy_helper.to_array(constants[name]) for name in node.input if name)
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    shape = [-1 if i == axis % codes.ndim else 1 for i in range(codes.ndim)] if scale.ndim else []
    steps = codes.astype(np.float32)
    if zero_point:
        steps -= zero_point[0].astype(np.float32).reshape(shape)
    dequantized: NDArray[np.float32] = steps * scale.reshape(shape)
    return dequantized


def _reads_input(model: ModelProto, node: NodeProto) -> bool:
    """Whether a node reads the image, perhaps after a change of layout."""
    source = producer(model, node.input[0])
    while source is not None and source.op_type in LAYOUT_ONLY:
        node, source = source, producer(model, source.input[0])
    return bool(node.input[0] == INPUT)


def name_layers(model: ModelProto, names: list[str]) -> None:
    """Name multiplications and their weights after the model's layers, and not by a running number."""
    nodes = [node for node in model.graph.node if is_multiplication(model, node)]
    if not names:
        return
    if len(nodes) != len(names):
        raise ExportError(f"the graph has {len(nodes)} multiplications, the model {len(names)} layers")
    renamed = {}
    for node, name in zip(nodes, names, strict=True):
        node.name = name
        dequantize = producer(model, node.input[1])
        weight = dequantize.input[0] if dequantize is not None else node.input[1]
        renamed[weight] = f"{name}.weight"
    for tensor in model.graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for old, new in renamed.items():
        replace_input(model, old, new)


def is_multiplication(model: ModelProto, node: NodeProto) -> bool:
    """Whether the node multiplies by a weight, quantized or not."""
    if node.op_type not in MULTIPLICATIONS:
        return False
    dequantize = producer(model, node.input[1])
    if dequantize is not None and dequantize.op_type != "DequantizeLinear":
        return False
    return (dequantize.input[0] if dequantize is not None else node.input[1]) in initializers(model)


def placement(model: ModelProto) -> dict[str, bool]:
    """Of each multiplication by name, whether both its input and its weight are quantized."""
    found = {}
    for node in model.graph.node:
        if is_multiplication(model, node):
            sources = [producer(model, name) for name in node.input[:2]]
            found[node.name] = all(s is not None and s.op_type == "DequantizeLinear" for s in sources)
    return found


def producer(model: ModelProto, name: str) -> NodeProto | None:
    return next((node for node in model.graph.node if name in node.output), None)


def consumers(model: ModelProto, name: str) -> list[NodeProto]:
    return [node for node in model.graph.node if name in node.input]


def initializers(model: ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def replace_input(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
