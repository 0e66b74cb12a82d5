"""An ONNX graph as a program of PyTorch's, with pt2e's operators in place of Q/DQ.

The converters for phones (ExecuTorch, LiteRT, Core ML) read no ONNX but what torch.export gives, with
`quantized_decomposed` operators where something is quantized. The ONNX file stays the only carrier of
precision: its weight codes, scales and zero points go over as they are. Codes of activations become
signed, as kernels for phones want them: q - 128 with the zero point z - 128 is the same number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor
from torch.ao.quantization.fx import _decomposed  # noqa: F401  defines the operators
from torch.export import ExportedProgram

from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.graph import consumers, producer
from convnext_edge.targets.simulation.graph import Operators, graph_to_torch
from convnext_edge.targets.simulation.operators import OPERATORS, dequantize_linear

DOMAIN = "convnext_edge"
LOW, HIGH = -128, 127
# from the codes of the file to signed ones
SHIFT: dict[int, int] = {TensorProto.UINT8: 128, TensorProto.INT8: 0}


def read(path: Path) -> ModelProto:
    """The file with its weights; raises TargetError for what is no ONNX file."""
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's is of no public class
        raise TargetError(f"cannot read {path} as ONNX: {error}") from error


def to_program(model: ModelProto, operators: Operators | None = None) -> ExportedProgram:
    """The graph for batches of one image; phones have images one by one.

    operators: what computes an ONNX operator in place of what `simulation.operators` has. Per-tensor Q/DQ are
    `convnext_edge.Quantize` and `.Dequantize`.
    Raises TargetError for a graph that has none.
    """
    spell_out(model.graph)
    module = graph_to_torch(model.graph, {**OPERATORS, **DECOMPOSED, **(operators or {})})
    image = next(iter(module.graph.find_nodes(op="placeholder"))).meta["val"]
    return torch.export.export(module, (torch.zeros((1, *image.shape[1:]), dtype=image.dtype),))


def spell_out(graph: GraphProto) -> None:
    """Make scale and zero point of each per-tensor Q/DQ an attribute: converters want them as numbers.

    Constants that nothing reads any more are taken out; LiteRT's converter would stumble over them.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale = constants.get(node.input[1])
            if scale is not None and not scale.dims and node.input[0] not in constants:
                _spell_out(node, scale, constants[node.input[2]])
    used = {name for node in graph.node for name in node.input}
    for name, tensor in constants.items():
        if name not in used:
            graph.initializer.remove(tensor)


def _spell_out(node: NodeProto, scale: TensorProto, zero_point: TensorProto) -> None:
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


def fold_weights_alone(model: ModelProto) -> None:
    """Make weights float again where the input of their product is.

    Runtimes that quantize inputs by themselves would do so there too, against what the graph says.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in constants]:
        if all(is_float(model, product) for product in consumers(model, node.output[0])):
            weight = numpy_helper.from_array(dequantized(node, constants), node.output[0])
            model.graph.initializer.append(weight)
            model.graph.node.remove(node)


def is_float(model: ModelProto, product: NodeProto) -> bool:
    """Whether the first input of a product is not quantized."""
    source = producer(model, product.input[0])
    return source is None or source.op_type != "DequantizeLinear"


def dequantized(node: NodeProto, constants: Mapping[str, TensorProto]) -> NDArray[np.float32]:
    """The weight that a DequantizeLinear makes of constant codes, symmetric ones."""
    codes, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    shape = [-1 if i == axis else 1 for i in range(codes.ndim)] if scale.ndim else []
    weight: NDArray[np.float32] = (codes * scale.reshape(shape)).astype(np.float32)
    return weight


# --- operators -----------------------------------------------------------------------------------


def quantize(x: Tensor, *, scale: float, zero_point: int) -> Tensor:
    """Codes from -128 to 127."""
    quantized: Tensor = torch.ops.quantized_decomposed.quantize_per_tensor.default(
        x, scale, zero_point, LOW, HIGH, torch.int8
    )
    return quantized


def dequantize(codes: Tensor, *, scale: float, zero_point: int) -> Tensor:
    """codes: int8, or the image's bytes (of whatever type), which are codes as they come."""
    if codes.dtype != torch.int8:
        codes = quantize(codes.float(), scale=scale, zero_point=zero_point)
    x: Tensor = torch.ops.quantized_decomposed.dequantize_per_tensor.default(
        codes, scale, zero_point, LOW, HIGH, torch.int8
    )
    return x


def dequantize_weight(
    codes: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int = 1, block_size: int = 0
) -> Tensor:
    """codes: int8, scale: (codes.shape[axis],). Others are computed as ONNX says."""
    if codes.dtype != torch.int8 or scale.ndim != 1 or block_size:
        return dequantize_linear(codes, scale, zero_point, axis=axis, block_size=block_size)
    weight: Tensor = torch.ops.quantized_decomposed.dequantize_per_channel.default(
        codes, scale, zero_point, axis, LOW, HIGH, torch.int8
    )
    return weight


def leave_float(x: Tensor, *, scale: float, zero_point: int) -> Tensor:
    """Where the runtime quantizes by itself. x: float, or the image's bytes."""
    return x.float()


DECOMPOSED: Operators = {
    f"{DOMAIN}.Quantize": quantize,
    f"{DOMAIN}.Dequantize": dequantize,
    "DequantizeLinear": dequantize_weight,
}
# Runtimes whose INT8 products take FP32 in and out choose ranges as they run: per image, or finer.
LEFT_TO_RUNTIME: Operators = {f"{DOMAIN}.Quantize": leave_float, f"{DOMAIN}.Dequantize": leave_float}
DYNAMIC = "INT8 layers take the range of their input from each image, in place of the calibrated one"
