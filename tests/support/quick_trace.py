"""What PyTorch's exporter writes, remembered for modules that differ in values only.

Before onnxscript optimizes a graph, each tensor of its module stands there as it is, under its name, and each
scale and zero point of a quantized tensor is a constant. So the graph can be given another module's values.
What looks at values (constants are folded, equal ones merged) comes afterwards, and is done for each module.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule
    from torch.onnx import ONNXProgram

    Export = Callable[..., ONNXProgram | None]

# Operators of torchao's graphs whose second and third argument are numbers in the code, and those of ONNX.
OPERATORS = {
    "quantized_decomposed.quantize_per_tensor.default": "QuantizeLinear",
    "quantized_decomposed.dequantize_per_tensor.default": "DequantizeLinear",
}
COUNTERS = ("_node_counter", "_value_counter")  # of onnx_ir's NameAuthority


class Codes(NamedTuple):
    """An operator that quantizes a tensor by one scale and one zero point, or undoes that."""

    operator: str
    scale: float
    zero_point: int


class Place(NamedTuple):
    """The names of the constants of such an operator."""

    operator: str
    scale: str
    zero_point: str


def filled(export: Export, path: Path, weights: Mapping[str, Tensor], codes: Sequence[Codes]) -> Export:
    """Return `torch.onnx.export` that takes what it wrote of a module that differs from ours in values only.

    path: where that is, or will be for the next one.
    """

    def once(*given: object, **settings: object) -> ONNXProgram | None:
        if path.exists():
            model = ModelProto.FromString(path.read_bytes())
            if fill(model, weights, codes):
                return as_program(model)
        program = export(*given, **settings)
        assert program is not None
        model = program.model_proto
        if empty(model, weights, codes):
            write(path, numbered(model, program))
        return program

    return once


def numbered(model: ModelProto, program: ONNXProgram) -> ModelProto:
    """Return a graph with the numbers of nodes and values so far: names of new ones count on from there."""
    names = vars(program.model.graph._name_authority)
    helper.set_model_props(model, {counter: str(names[counter]) for counter in COUNTERS})
    return model


def as_program(model: ModelProto) -> ONNXProgram:
    """Return what the exporter returned when it wrote a graph."""
    import onnx_ir
    import torch

    program = onnx_ir.from_proto(model)
    for counter in COUNTERS:
        setattr(program.graph._name_authority, counter, int(program.metadata_props.pop(counter)))
    return torch.onnx.ONNXProgram(program, None)  # type: ignore[arg-type]


def write(path: Path, model: ModelProto) -> None:
    """Write a graph that other processes may read at any time."""
    part = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # a test lets nobody write
        part.write_bytes(model.SerializeToString())
        part.replace(path)


def empty(model: ModelProto, weights: Mapping[str, Tensor], codes: Sequence[Codes]) -> bool:
    """Take the weights of its module out of a graph, and return whether it holds no others, nor other codes.

    But for tensors that the code itself has, as lists of numbers.
    """
    from convnext_edge.onnx_graph.naming import strip_notes

    strip_notes(model)  # they repeat the numbers of the code
    for tensor in model.graph.initializer:
        if tensor.name not in weights and "lifted_tensor" in tensor.name:
            continue
        held = weights.get(tensor.name)
        if held is None or (list(tensor.dims), tensor.raw_data) != (list(held.shape), content(held)):
            return False
        tensor.ClearField("raw_data")
    numbers, found = constants(model), places(model)
    told = [
        (place.operator, *(numpy_helper.to_array(numbers[name]).item() for name in place[1:]))
        for place in found
    ]
    return told == [code._replace(scale=rounded(code.scale)) for code in codes] and apart(model, found)


def apart(model: ModelProto, found: Sequence[Place]) -> bool:
    """Return whether nothing else reads the constants of these places, and one alone each zero point."""
    read = Counter(name for node in model.graph.node for name in node.input)
    scales, zero_points = Counter(place.scale for place in found), {place.zero_point for place in found}
    return all(read[name] == scales[name] for name in scales) and all(read[name] == 1 for name in zero_points)


def fill(model: ModelProto, weights: Mapping[str, Tensor], codes: Sequence[Codes]) -> bool:
    """Put the values of a module into a graph that was emptied.

    Returns whether the exporter would write the same constants: a scale that equals a number of another
    operator has none of its own.
    """
    numbers, found = constants(model), places(model)
    others = numbers.keys() - {place.scale for place in found}
    if {rounded(code.scale) for code in codes} & {scalar(numbers[name]) for name in others}:
        return False
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.raw_data = content(weights[tensor.name])
    for place, code in zip(found, codes, strict=True):
        for name, number in zip(place[1:], code[1:], strict=True):
            kind = numpy_helper.to_array(numbers[name]).dtype
            numbers[name].CopyFrom(numpy_helper.from_array(np.array(number, kind), numbers[name].name))
    return True


def constants(model: ModelProto) -> dict[str, TensorProto]:
    """Return the tensors of Constant nodes, by the names of what they put out."""
    return {
        node.output[0]: attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }


def places(model: ModelProto) -> list[Place]:
    """Return the places of all codes, in the order of the graph."""
    numbers = constants(model)
    return [
        Place(node.op_type, *node.input[1:3])
        for node in model.graph.node
        if node.op_type in OPERATORS.values() and numbers.keys() >= set(node.input[1:3])
    ]


def scalar(tensor: TensorProto) -> float | None:
    """Return a float that is no list, or None."""
    return (
        None if tensor.dims or tensor.data_type != TensorProto.FLOAT else numpy_helper.to_array(tensor).item()
    )


def rounded(number: float) -> float:
    """Return a number as a graph holds it."""
    return float(np.float32(number))


def content(tensor: Tensor) -> bytes:
    """Return the values of a tensor of any type, as ONNX holds them."""
    import torch

    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def told_apart(graph: GraphModule) -> tuple[list[object], list[Codes]]:
    """Return the code of a graph without the values of scales and zero points, and those.

    Tensors that are no buffers belong to the code. A scale is told by which other ones are equal: the
    exporter writes one constant for them.
    """
    from torch import Tensor

    code: list[object] = []
    found: list[Codes] = []
    alike: dict[object, int] = {}
    for node in graph.graph.nodes:
        arguments = node.args
        if operator := OPERATORS.get(str(node.target)):
            tensor, scale, zero_point, *rest = arguments
            found.append(Codes(operator, scale, zero_point))
            arguments = (tensor, alike.setdefault(scale, len(alike)), *rest)
        code.append((node.op, node.name, str(node.target), repr(arguments), repr(node.kwargs)))
    tensors = [held for part in graph.modules() for held in vars(part).values() if isinstance(held, Tensor)]
    return [*code, tensors], found
