"""Names in an ONNX graph: its input and output, its layers, their weights and biases."""

from __future__ import annotations

from collections import Counter

from onnx import ModelProto, NodeProto, numpy_helper

from convnext_edge.errors import ExportError
from convnext_edge.onnx_graph.lookup import (
    add_constant,
    initializers,
    producer,
    prune_constants,
    replace_input,
)

INPUT = "image"
MULTIPLICATIONS = ("Conv", "MatMul", "Gemm")
AXES_OF_WEIGHT = 2  # of a MatMul
BIAS = 2  # the input of a Conv


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

    A bias that several share becomes one for each: see `own_biases`.

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
    own_biases(model)


def own_biases(model: ModelProto) -> None:
    """Give each convolution a bias that no other node reads, named after it.

    onnxscript's optimizer merges equal constants; but OpenVINO takes only a bias that nothing else reads into
    an INT8 convolution, and adds others in a pass over what it gives.
    """
    constants = initializers(model)
    readers = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        shared, own = "".join(node.input[BIAS:]), f"{node.name}.bias"
        if node.op_type == "Conv" and shared in constants and readers[shared] > 1 and shared != own:
            node.input[BIAS] = add_constant(model, own, numpy_helper.to_array(constants[shared])).name
    prune_constants(model)


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
