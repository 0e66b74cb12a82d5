"""An ONNX graph as PyTorch: what an artifact computes, Q/DQ included, in plain float arithmetic.

No kernel of a runtime has a hand in it, so this is the measure of what quantization itself costs, next
to what a runtime's kernels add.

The graph runs once, step by step, under torch.export: that yields an ordinary `GraphModule`, with
symbolic sizes wherever the graph computes with the batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim
from torch.fx import GraphModule
from torch.fx.graph import CodeGen

from convnext_edge.errors import TargetError
from convnext_edge.network.exporter import exporter
from convnext_edge.onnx_graph.files import load
from convnext_edge.targets.simulation.operators import OPERATORS, TYPES
from convnext_edge.targets.simulation.shapes import Sizes, Value

HINT = "take a graph as `convnext-edge` wrote it, before the optimizer of a runtime has rewritten it"


Operators: TypeAlias = Mapping[str, Callable[..., Any]]
"""What computes each ONNX operator, by its name, as in `OPERATORS`."""


def to_torch(path: Path) -> GraphModule:
    """Return the ONNX graph in `path` as a module of PyTorch operators, exact in the semantics of Q/DQ.

    It takes the graph's inputs, under their names, and returns its output, or a tuple of several. The first
    axis of an input may be dynamic, (N, channels, H, W), and stays so under torch.export. Constants are
    buffers, quantized ones as their codes, from the file or from the external data beside it.

    Raises TargetError for an operator, type or attribute that has no simulation.
    """
    return graph_to_torch(load(path, weights=False).graph, folder=path.parent)


def graph_to_torch(
    graph: GraphProto, operators: Operators = OPERATORS, *, folder: Path = Path()
) -> GraphModule:
    """Return a graph as `to_torch` does.

    operators: the functions that compute the operators of the graph. folder: where external data lies.
    """
    program = Program(graph, folder, operators)
    examples = tuple(_example(declared) for declared in program.inputs)
    dynamic = tuple(_dynamic_axes(declared) for declared in program.inputs)
    with exporter():
        exported = torch.export.export(program, examples, dynamic_shapes=(dynamic,))
        return _plain(exported.module(check_guards=False), program.argument_names)


@dataclass(frozen=True)
class Step:
    """One node of the graph, with the function that computes it."""

    node: str  # its name
    operator: str  # as in `OPERATORS`
    function: Callable[..., Any]
    inputs: tuple[str, ...]  # names of values; "" for an optional input that is left out
    output: str  # name of the value that it makes
    attributes: dict[str, Any]

    def run(self, values: dict[str, Value | None]) -> Value:
        """Return the node's output, from all values so far by name; raise TargetError where it cannot."""
        try:
            result = self.function(*(values[name] for name in self.inputs), **self.attributes)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise _cannot_simulate(self.operator, self.node, str(error)) from error
        # NumPy unpacks an array of rank 0
        return result if isinstance(result, Tensor) else np.asarray(result, dtype=object)


class Program(nn.Module):
    """The graph as a module that runs it step by step; `forward` takes the graph's inputs in order."""

    def __init__(self, graph: GraphProto, folder: Path, operators: Operators = OPERATORS) -> None:
        super().__init__()
        constants = dict(_constants(graph))
        types = {name: _known(tensor.data_type, name) for name, tensor in constants.items()}
        nodes = [node for node in graph.node if node.op_type != "Constant"]
        self.steps = [_step(node, types, operators) for node in nodes]
        self.inputs = [declared for declared in graph.input if declared.name not in constants]
        self.outputs = [declared.name for declared in graph.output]
        self.sizes: dict[str, Sizes] = {}
        self.buffer_names: dict[str, str] = {}
        for name, tensor in constants.items():
            self._add_constant(name, tensor, folder)

    @property
    def argument_names(self) -> list[str]:
        """Return the names of the graph's inputs, as Python spells names."""
        return [_identifier(declared.name) for declared in self.inputs]

    def _add_constant(self, name: str, tensor: TensorProto, folder: Path) -> None:
        array = numpy_helper.to_array(tensor, base_dir=str(folder))
        if tensor.data_type == TensorProto.INT64 and array.ndim < 2:
            self.sizes[name] = array.astype(object)  # not a buffer: torch.export could not see its values
            return
        if tensor.data_type in FOUR_BITS:
            array = array.astype(FOUR_BITS[tensor.data_type])
        self.buffer_names[name] = self._free_name(name)
        self.register_buffer(self.buffer_names[name], torch.tensor(array))

    def _free_name(self, name: str) -> str:
        """Return a name for a buffer that neither an attribute nor an argument has."""
        free = _identifier(name)
        while hasattr(self, free) or free in self.argument_names:
            free += "_"
        return free

    def forward(self, *inputs: Tensor) -> Value | tuple[Value | None, ...] | None:
        """Return the graph's output, or a tuple of several."""
        values: dict[str, Value | None] = {"": None, **self.sizes}
        values |= {name: self.get_buffer(buffer) for name, buffer in self.buffer_names.items()}
        values |= {declared.name: x for declared, x in zip(self.inputs, inputs, strict=True)}
        for step in self.steps:
            values[step.output] = step.run(values)
        outputs = tuple(values[name] for name in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


# --- reading the graph ---------------------------------------------------------------------------

FOUR_BITS: dict[int, type[np.generic]] = {TensorProto.UINT4: np.uint8, TensorProto.INT4: np.int8}


def _constants(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield name and value of the initializers and of the nodes that hold a constant."""
    for initializer in graph.initializer:
        yield initializer.name, initializer
    for node in graph.node:
        if node.op_type == "Constant":
            yield node.output[0], _value(node)


def _value(node: NodeProto) -> TensorProto:
    """Return what a Constant holds: a tensor, or numbers spelled out as value_int, value_floats and so on."""
    value = helper.get_attribute_value(node.attribute[0])
    if isinstance(value, TensorProto):
        return value
    kind = np.float32 if "float" in node.attribute[0].name else np.int64
    return numpy_helper.from_array(np.asarray(value, dtype=kind))


def _step(node: NodeProto, types: dict[str, int], operators: Operators) -> Step:
    """Return a node as a step. types: the ONNX types of the constants, by name."""
    operator = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
    if operator not in operators:
        raise _cannot_simulate(operator, node.name)
    attributes = {a.name: _decoded(helper.get_attribute_value(a)) for a in node.attribute}
    if node.op_type == "QuantizeLinear" and len(node.input) > 2:
        # only the graph tells 4-bit codes from 8-bit ones, as PyTorch holds both alike
        attributes["output_dtype"] = types.get(node.input[2], TensorProto.UNDEFINED)
    return Step(node.name, operator, operators[operator], tuple(node.input), node.output[0], attributes)


def _decoded(attribute: Any) -> Any:
    return attribute.decode() if isinstance(attribute, bytes) else attribute


def _known(data_type: int, name: str) -> int:
    if data_type not in TYPES:
        kind = TensorProto.DataType.Name(data_type)
        raise TargetError(f"type {kind} of tensor {name} cannot be simulated", hint=HINT)
    return data_type


def _cannot_simulate(operator: str, node: str, reason: str = "") -> TargetError:
    because = f": {reason}" if reason else ""
    return TargetError(f"operator {operator} of node {node} cannot be simulated{because}", hint=HINT)


# --- the module ----------------------------------------------------------------------------------


def _example(declared: ValueInfoProto) -> Tensor:
    """Return zeros in the shape of an input, with 2 for a dynamic size.

    torch.export would fix a size of 1 for good.
    """
    tensor = declared.type.tensor_type
    sizes = [dim.dim_value or 2 for dim in tensor.shape.dim]
    return torch.zeros(sizes, dtype=TYPES[_known(tensor.elem_type, declared.name)])


def _dynamic_axes(declared: ValueInfoProto) -> dict[int, Dim]:
    dynamic = [axis for axis, dim in enumerate(declared.type.tensor_type.shape.dim) if not dim.dim_value]
    if dynamic not in ([], [0]):
        raise TargetError(f"input {declared.name} is dynamic beyond its first axis: {dynamic}", hint=HINT)
    return {axis: Dim("batch") for axis in dynamic}


def _plain(module: GraphModule, names: list[str]) -> GraphModule:
    """Return an exported module as one that moves, trains and evaluates like any other.

    torch.export wraps arguments and result, pins constants to the CPU and forbids train() and eval().
    """
    graph = module.graph
    graph.set_codegen(CodeGen())
    for check in graph.find_nodes(op="call_function", target=torch.ops.aten._assert_tensor_metadata.default):
        graph.erase_node(check)
    for placeholder, name in zip(graph.find_nodes(op="placeholder"), names, strict=True):
        placeholder.target = name
    output = graph.output_node()
    (returned,) = output.args
    assert isinstance(returned, tuple | list)  # of all outputs
    output.args = (returned[0] if len(returned) == 1 else tuple(returned),)
    return GraphModule(module, graph, "Simulation")


def _identifier(name: str) -> str:
    return re.sub(r"\W|^(?=\d)", "_", name)
