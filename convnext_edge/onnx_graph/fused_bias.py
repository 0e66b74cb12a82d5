"""Biases that ONNX Runtime's optimizer leaves behind its INT8 products, moved into the products.

MatMulIntegerToFloat adds a bias as it writes its result, but the optimizer gives it none: it stays an Add, or
becomes part of a BiasGelu, which goes over the same values more slowly than a Gelu does. Here

    MatMulIntegerToFloat -> Add         becomes  MatMulIntegerToFloat with the bias
    MatMulIntegerToFloat -> BiasGelu    becomes  MatMulIntegerToFloat with the bias -> Gelu

with the same answers bit by bit. Both are operators of the domain com.microsoft:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from onnx import ModelProto, NodeProto, TensorProto

from convnext_edge.onnx_graph.lookup import initializers

PRODUCT = "MatMulIntegerToFloat"
BIAS = 6  # which of its inputs: A, B, their scales, their zero points, bias
FUSED = ("Add", "BiasGelu")


def move_biases(model: ModelProto) -> int:
    """Move the biases into their products, and return how many there are."""
    constants = initializers(model)
    products = {node.output[0]: node for node in model.graph.node if node.op_type == PRODUCT}
    readers = Counter(name for node in model.graph.node for name in node.input)
    readers.update(output.name for output in model.graph.output)
    alone = {name: node for name, node in products.items() if readers[name] == 1}
    moved = [node for node in model.graph.node if node.op_type in FUSED and _move(node, alone, constants)]
    for node in moved:
        if node.op_type == "Add":
            model.graph.node.remove(node)
    return len(moved)


def _move(node: NodeProto, products: Mapping[str, NodeProto], constants: Mapping[str, TensorProto]) -> bool:
    """Move the bias that a node adds, if it adds one to a product without a bias; tell whether it did.

    An Add is left without a reader, a BiasGelu becomes a Gelu.
    """
    value, bias = node.input if node.input[0] in products else reversed(node.input)
    product = products.get(value)
    if product is None or bias not in constants or len(constants[bias].dims) != 1:
        return False
    if len(product.input) > BIAS and product.input[BIAS]:
        return False
    product.input.extend([""] * (BIAS + 1 - len(product.input)))
    product.input[BIAS] = bias
    if node.op_type == "Add":
        product.output[0] = node.output[0]
    else:
        node.op_type = "Gelu"
        del node.input[:]
        node.input.append(value)
    return True
