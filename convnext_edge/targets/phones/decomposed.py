"""An ONNX graph as a program of PyTorch's, with pt2e's operators in place of Q/DQ.

The converters for phones (ExecuTorch, LiteRT, Core ML) read no ONNX but what torch.export gives, with
`quantized_decomposed` operators where something is quantized. The ONNX file stays the only carrier of
precision: its weight codes, scales and zero points go over as they are. Codes of activations become
signed, as kernels for phones want them: q - 128 with the zero point z - 128 is the same number.
"""

from __future__ import annotations

import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor
from torch.ao.quantization.fx import _decomposed  # noqa: F401  defines the operators
from torch.export import ExportedProgram

from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.gelu import join_gelu
from convnext_edge.onnx_graph.lookup import initializers, prune_constants
from convnext_edge.onnx_graph.qdq import QDQ
from convnext_edge.targets.simulation.graph import Operators, graph_to_torch
from convnext_edge.targets.simulation.operators import OPERATORS, dequantize_linear

DOMAIN = "convnext_edge"
LOW, HIGH = -128, 127
# from the codes of the file to signed ones
SHIFT: dict[int, int] = {TensorProto.UINT8: 128, TensorProto.INT8: 0}


def to_program(model: ModelProto, operators: Operators | None = None) -> ExportedProgram:
    """Return the graph as a program for batches of one image; phones have images one by one.

    operators: the functions that replace those of `simulation.operators`, by the name of the ONNX operator.
    Per-tensor Q/DQ are `convnext_edge.Quantize` and `convnext_edge.Dequantize`.
    Raises TargetError for a graph that has none.
    """
    multiply_squares(model)
    make_scales_attributes(model)
    module = graph_to_torch(join_gelu(model).graph, {**OPERATORS, **DECOMPOSED, **(operators or {})})
    image = next(iter(module.graph.find_nodes(op="placeholder"))).meta["val"]
    return torch.export.export(module, (torch.zeros((1, *image.shape[1:]), dtype=image.dtype),))


def multiply_squares(model: ModelProto) -> None:
    """Turn each power of 2, as simplenorm has it, into a product.

    As a program, a power has a tensor for its exponent, which XNNPACK does not take.
    """
    constants = initializers(model)
    for node in model.graph.node:
        exponent = constants.get(node.input[1]) if node.op_type == "Pow" else None
        if exponent is not None and (numpy_helper.to_array(exponent) == 2).all():
            node.op_type, node.input[1] = "Mul", node.input[0]


def make_scales_attributes(model: ModelProto) -> None:
    """Make scale and zero point of each per-tensor Q/DQ an attribute: converters want them as numbers.

    Constants that nothing reads any more are taken out; LiteRT's converter would stumble over them.
    """
    constants = initializers(model)
    for node in model.graph.node:
        if node.op_type in QDQ:
            scale = constants.get(node.input[1])
            if scale is not None and not scale.dims and node.input[0] not in constants:
                _make_scale_attribute(node, scale, constants[node.input[2]])
    prune_constants(model)


def _make_scale_attribute(node: NodeProto, scale: TensorProto, zero_point: TensorProto) -> None:
    if zero_point.data_type not in SHIFT:
        kind = TensorProto.DataType.Name(zero_point.data_type)
        raise TargetError(
            f"{node.name} quantizes to {kind}: phones' kernels take codes of 8 bits",
            hint="Quantize again with activation = 'uint8' and without sixteen_bit in the recipe.",
        )
    code = int(numpy_helper.to_array(zero_point)) - SHIFT[zero_point.data_type]
    del node.input[1:], node.attribute[:]
    node.domain, node.op_type = DOMAIN, node.op_type.removesuffix("Linear")
    node.attribute.append(helper.make_attribute("scale", float(numpy_helper.to_array(scale))))
    node.attribute.append(helper.make_attribute("zero_point", code))


# --- operators -----------------------------------------------------------------------------------


def quantize(x: Tensor, *, scale: float, zero_point: int) -> Tensor:
    """Return codes from -128 to 127, as pt2e's operator makes them."""
    quantized: Tensor = torch.ops.quantized_decomposed.quantize_per_tensor.default(
        x, scale, zero_point, LOW, HIGH, torch.int8
    )
    return quantized


def dequantize(codes: Tensor, *, scale: float, zero_point: int) -> Tensor:
    """Return the values of codes.

    codes: int8, or the image's bytes (of whatever type), which are codes as they come.
    """
    if codes.dtype != torch.int8:
        codes = quantize(codes.float(), scale=scale, zero_point=zero_point)
    x: Tensor = torch.ops.quantized_decomposed.dequantize_per_tensor.default(
        codes, scale, zero_point, LOW, HIGH, torch.int8
    )
    return x


def dequantize_weight(
    codes: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int = 1, block_size: int = 0
) -> Tensor:
    """Return the values of a weight's codes.

    codes: int8, scale: (codes.shape[axis],). Others are computed as ONNX says.
    """
    if codes.dtype != torch.int8 or scale.ndim != 1 or block_size:
        return dequantize_linear(codes, scale, zero_point, axis=axis, block_size=block_size)
    weight: Tensor = torch.ops.quantized_decomposed.dequantize_per_channel.default(
        codes, scale, zero_point, axis, LOW, HIGH, torch.int8
    )
    return weight


def leave_float(x: Tensor, *, scale: float, zero_point: int) -> Tensor:
    """Return the values as float, for runtimes that quantize by themselves.

    x: float, or the image's bytes.
    """
    return x.float()


DECOMPOSED: Operators = {
    f"{DOMAIN}.Quantize": quantize,
    f"{DOMAIN}.Dequantize": dequantize,
    "DequantizeLinear": dequantize_weight,
}
# Runtimes whose INT8 products take FP32 in and out choose ranges as they run: per image, or finer.
LEFT_TO_RUNTIME: Operators = {f"{DOMAIN}.Quantize": leave_float, f"{DOMAIN}.Dequantize": leave_float}
DYNAMIC = "INT8 layers take the range of their input from each image, in place of the calibrated one"
