"""The float part of a graph in FP16, as a strongly typed TensorRT network wants it spelled out.

FP32 stay the operators that FP16 cannot hold: LayerNorm and GRN, which square their input (65504 is
passed at 256 squared), and means over an image. Others have met this on ConvNeXt:
https://github.com/facebookresearch/ConvNeXt/issues/80 (LayerNorm of the last stage) and
https://github.com/facebookresearch/ConvNeXt-V2/issues/66 (right answers only without GRN).

INT8 is left as it is; only the type in which QuantizeLinear reads and DequantizeLinear writes changes,
which is the type of its scale. That they have since opset 19, in which earlier graphs are written then.

Written here because `onnxruntime.transformers.float16` (1.31) fails on these graphs: it names two Casts
alike where two kept operators share a constant, rounds the constants of kept operators to FP16, and puts
weight scales below FP16's smallest normal number (2^-14) without a word. Folding a small layer scale
into a weight makes such scales.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from convnext_edge.artifacts.opsets import FIRST_WITH_HALF_QDQ
from convnext_edge.onnx_graph.files import PROTOBUF_LIMIT, weight_bytes
from convnext_edge.onnx_graph.lookup import add_constant, consumers, initializers, prune_constants
from convnext_edge.onnx_graph.opset import raise_opset
from convnext_edge.onnx_graph.qdq import LAYOUT_ONLY, QDQ, along_channels, is_quantized

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
KEPT = {"LayerNormalization", "ReduceMean", "ReduceSum", "ReduceL2", "Sqrt", "Div", "Reciprocal", "Pow"}
FOLLOWING = {"Add", "Sub", "Mul"}  # of an FP32 value and a constant: part of a norm, FP32 as well
FACTORS = {"Resize"}  # whose inputs behind the first are numbers of FP32
LARGEST = float(np.finfo(np.float16).max)


def to_half(model: ModelProto) -> ModelProto:
    """Return a copy in mixed FP16 and FP32; inputs and outputs keep their types.

    Each Cast stands where its value is first wanted and serves all who want it.
    """
    result = ModelProto()
    # beyond protobuf's limit, the types that the exporter declared must do
    large = weight_bytes(model) > PROTOBUF_LIMIT
    result.CopyFrom(model if large else onnx.shape_inference.infer_shapes(model))
    if is_quantized(result):
        raise_opset(result, FIRST_WITH_HALF_QDQ)
    round_scales(result)
    conversion = Conversion(result)
    for node in list(result.graph.node):
        conversion.take(node)
    conversion.finish()
    return result


class Conversion:
    """One walk over the nodes of a graph in their order, which settles the type of each value."""

    def __init__(self, model: ModelProto) -> None:
        self.model, self.graph = model, model.graph
        self.constants = initializers(model)
        # FLOAT or HALF of each float value seen so far, by name
        self.types = dict.fromkeys(float_values(self.graph.input), FLOAT)
        # names of the float values that nodes compute
        self.floats = {*float_values(self.graph.value_info), *float_values(self.graph.output)}
        self.nodes: list[NodeProto] = []  # of the graph that is made
        self.casts: dict[tuple[str, int], str] = {}  # name and wanted type to the name of the converted value

    def take(self, node: NodeProto) -> None:
        """Settle the type of a node, convert its float inputs to it, and note that of its outputs."""
        wanted = self.type_of(node)
        if node.op_type == "Cast" and node.output[0] in self.floats:
            node.attribute[0].i = wanted
        for index, name in enumerate(node.input):
            if index == 0 or node.op_type not in FACTORS:
                node.input[index] = self.converted(name, wanted)
        self.nodes.append(node)
        self.types.update({name: wanted for name in node.output if name in self.floats})

    def type_of(self, node: NodeProto) -> int:
        """Return the type that a node computes in, FLOAT or HALF."""
        values = [name for name in node.input if name in self.types]
        if self.begins_gelu(node):
            return HALF
        if node.op_type in KEPT or (node.op_type == "Mul" and node.input[0] == node.input[1]):
            return FLOAT
        if values and self.is_quantized_next(node):  # no Cast between LayerNorm and Q: they are to fuse
            return self.types[values[0]]
        if node.op_type in FOLLOWING and values and all(self.types[name] == FLOAT for name in values):
            return FLOAT
        return HALF

    def begins_gelu(self, node: NodeProto) -> bool:
        """Return whether the node is the Div of a GELU below opset 20, which fuses in one type alone."""
        return node.op_type == "Div" and any(
            user.op_type == "Erf" for user in consumers(self.model, node.output[0])
        )

    def is_quantized_next(self, node: NodeProto) -> bool:
        """Return whether the value goes into INT8 here, or behind changes of layout alone."""
        if node.op_type in LAYOUT_ONLY:
            users = consumers(self.model, node.output[0])
            return len(users) == 1 and self.is_quantized_next(users[0])
        return node.op_type == "QuantizeLinear"

    def converted(self, name: str, wanted: int) -> str:
        """Return the name of the value in the wanted type: `name` itself where it needs no conversion."""
        constant = self.constants.get(name)
        is_float = name in self.types or (constant is not None and constant.data_type == FLOAT)
        if not is_float or self.types.get(name, FLOAT) == wanted:
            return name
        if (name, wanted) not in self.casts:
            made = self._cast(name, wanted) if constant is None else self._half_constant(name)
            self.casts[name, wanted] = made
        return self.casts[name, wanted]

    def _cast(self, name: str, wanted: int) -> str:
        made = f"{name}_{'fp16' if wanted == HALF else 'fp32'}"
        self.nodes.append(helper.make_node("Cast", [name], [made], name=f"cast_{made}", to=wanted))
        return made

    def _half_constant(self, name: str) -> str:
        values = numpy_helper.to_array(self.constants[name]).clip(-LARGEST, LARGEST)
        return add_constant(self.model, f"{name}_fp16", values.astype(np.float16)).name

    def finish(self) -> None:
        """Give the outputs their types back, drop what nothing reads any more, and type the values anew."""
        for output in self.graph.output:
            if self.types.get(output.name) == HALF:
                self._restore(output.name)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        prune_constants(self.model)
        del self.graph.value_info[:]

    def _restore(self, output: str) -> None:
        inner = f"{output}_fp16"
        for node in self.nodes:  # which may read it as well
            for names in (node.input, node.output):
                names[:] = [inner if name == output else name for name in names]
        self.nodes.append(helper.make_node("Cast", [inner], [output], name=f"cast_{output}", to=FLOAT))


def float_values(values: Iterable[ValueInfoProto]) -> list[str]:
    """Return the names of the values in FP32."""
    return [value.name for value in values if value.type.tensor_type.elem_type == FLOAT]


# --- scales --------------------------------------------------------------------------------------


def round_scales(model: ModelProto) -> None:
    """Let every scale of Q/DQ be a number that FP16 has; weights get the codes that suit it.

    A QuantizeLinear that reads FP32 and its DequantizeLinear in FP16 then agree to the bit. For a scale
    over 2^-14 no code of a weight changes (127 * 2^-11 < 0.5); below, the scale is rounded up, so that
    codes stay within 127.
    """
    constants = initializers(model)
    pairs = [node for node in model.graph.node if node.op_type in QDQ]
    # read beforehand: the exporter lets equal scales share one constant
    before = {node.input[1]: numpy_helper.to_array(constants[node.input[1]]) for node in pairs}
    after = {name: half_scale(scale) for name, scale in before.items()}
    for node in pairs:
        if node.input[0] in constants:
            name = node.input[1]
            _requantize(constants[node.input[0]], node, before[name] / after[name])
    for name, scale in after.items():
        constants[name].CopyFrom(numpy_helper.from_array(scale, name))


def half_scale(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the nearest FP16 numbers, or the next larger ones where FP16 is coarse; never zero."""
    near = scale.astype(np.float16)
    larger = np.nextafter(near, np.float16(np.inf))
    coarse = (scale < np.finfo(np.float16).smallest_normal) & (near.astype(np.float32) < scale)
    rounded: NDArray[np.float32] = np.where(coarse, larger, near).astype(np.float32)
    return rounded


def _requantize(weight: TensorProto, node: NodeProto, ratio: NDArray[Any]) -> None:
    """Give a weight the codes for a scale that is 1 / ratio times the old one.

    node: the DequantizeLinear of the weight. ratio: a scalar, or (channels,).
    """
    codes = numpy_helper.to_array(weight)
    info = np.iinfo(codes.dtype)
    moved = np.rint(codes * along_channels(node, ratio, codes.ndim)).clip(info.min, info.max)
    weight.CopyFrom(numpy_helper.from_array(moved.astype(codes.dtype), weight.name))
