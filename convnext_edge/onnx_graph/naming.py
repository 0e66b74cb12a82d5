"""Names in an ONNX graph: its input and output, its layers and their weights."""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from convnext_edge.errors import ExportError
from convnext_edge.onnx_graph.lookup import initializers, producer, replace_input

INPUT = "image"
MULTIPLICATIONS = ("Conv", "MatMul", "Gemm")
AXES_OF_WEIGHT = 2  # of a MatMul


def strip_notes(model: ModelProto) -> None:
    """Take out the exporter's notes: they hold local paths and stack traces."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for item in [*model.graph.node, *model.graph.initializer, *model.graph.value_info]:
        del item.metadata_props[:]
        item.doc_string = ""
    for value in [*model.graph.input, *model.graph.output]:
        del value.metadata_props[:]


def name_layers(model: ModelProto, names: list[str]) -> None:
    """Name multiplications and their weights after the model's layers, and not by a running number.

    names: of the layers, in the order of the graph; where it is empty, nothing is renamed.
    Raises ExportError where the graph has another number of multiplications.
    """
    nodes = [node for node in model.graph.node if is_multiplication(model, node)]
    if not names:
        return
    if len(nodes) != len(names):
        raise ExportError(f"the graph has {len(nodes)} multiplications, the model {len(names)} layers")
    renamed = {}
    for node, name in zip(nodes, names, strict=True):
        node.name = name
        renamed[weight_name(model, node)] = f"{name}.weight"
    for tensor in model.graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for old, new in renamed.items():
        replace_input(model, old, new)


def is_multiplication(model: ModelProto, node: NodeProto) -> bool:
    """Return whether the node multiplies by a weight, quantized or not.

    A MatMul by a constant of more axes resizes a map, and is no layer.
    """
    if node.op_type not in MULTIPLICATIONS:
        return False
    weight = initializers(model).get(weight_name(model, node))
    return weight is not None and (node.op_type != "MatMul" or len(weight.dims) == AXES_OF_WEIGHT)


def weight_name(model: ModelProto, node: NodeProto) -> str:
    """Return the name of what a multiplication multiplies by: of its codes, where it is quantized."""
    source = producer(model, node.input[1])
    is_codes = source is not None and source.op_type == "DequantizeLinear"
    return str(source.input[0] if source is not None and is_codes else node.input[1])
