"""ExecuTorch on phones: the whole graph in XNNPACK, products in INT8.

Form "conv", since XNNPACK has convolutions and element-wise operators, but neither LayerNorm nor a mean over
channels. That mean is the one thing of the form that it lacks, and a 1x1 convolution with weights 1 / C is
the same: with it the graph is one piece, which needs no copy in or out before its end.

Static INT8 kernels of XNNPACK give INT8 out, so that every product would be rounded before GELU and before
the residual sum. Its dynamic ones take FP32 in and out: they choose the range of their input anew for each
image and round it, which is what our Q/DQ in front of a product is for, without calibrated ranges. Weights
are those of the file.
https://docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-quantization.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor

from convnext_edge.artifacts.artifact import Artifact, Form
from convnext_edge.cpu import Machine
from convnext_edge.errors import TargetError
from convnext_edge.network.exporter import exporter
from convnext_edge.onnx_graph.files import load
from convnext_edge.onnx_graph.lookup import add_constant, initializers, read_attribute
from convnext_edge.onnx_graph.opset import EXPORTERS_FIRST, raise_opset
from convnext_edge.onnx_graph.qdq import drop_weight_only_quantization
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quiet import quiet, quiet_below
from convnext_edge.targets.base import NO_OPTIONS, BuildOptions, Images, Outputs, Session, Target
from convnext_edge.targets.phones.decomposed import (
    DOMAIN,
    DYNAMIC,
    HIGH,
    LEFT_TO_RUNTIME,
    LOW,
    to_program,
)
from convnext_edge.targets.phones.xnnpack import split_depthwise
from convnext_edge.targets.vendor_errors import as_target_error

SMALLEST_SCALE = float(torch.finfo(torch.float32).eps)
UNVERIFIED = "unverified on a device: `validate` runs it in ExecuTorch on this machine's CPU"


class ExecuTorchSession(Session):
    """An engine in ExecuTorch, one image a call.

    The runtime has one pool of threads for the whole process.

    Raises TargetError where another session is open that has another number of threads.
    """

    runner = "ExecuTorch"
    opened: ClassVar[WeakSet[ExecuTorchSession]] = WeakSet()

    def __init__(self, engine: Path, threads: int | None) -> None:
        with quiet(), quiet_below(), as_target_error(f"ExecuTorch does not load {engine}"):
            from executorch.runtime import Runtime

            if threads is not None:
                self._size_pool(threads)
            self.program = Runtime.get().load_program(engine)
            self.method = self.program.load_method("forward")
            self.opened.add(self)

    def _size_pool(self, threads: int) -> None:
        """Give the pool that many threads, before anything is loaded.

        Loaded programs keep a pointer to the pool, and crash where it was made anew since.
        """
        from executorch.extension.pybindings import portable_lib

        found = portable_lib._threadpool_get_thread_count()
        if threads != found and self.opened:
            raise TargetError(
                f"{threads} threads cannot be had while a session with {found} is open: they share a pool",
                hint=f"Close that session first, or take {found} threads.",
            )
        portable_lib._unsafe_reset_threadpool(threads)

    def close(self) -> None:
        self.opened.discard(self)
        del self.method, self.program

    def _run(self, images: Images) -> Outputs:
        calls = [self.method.execute([torch.from_numpy(image[None])]) for image in images]
        return tuple(np.concatenate(parts) for parts in zip(*calls, strict=True))


class ExecuTorch(Target):
    """ExecuTorch with the delegate to XNNPACK."""

    name = "executorch"
    package = "executorch"
    install = "convnext-edge[executorch]"
    form = "conv"
    int8_forms: ClassVar[Mapping[Machine, tuple[Form, ...]]] = {"aarch64": ("conv",)}
    recipe = Recipe(weight_scale="full")  # XNNPACK adds up in 32 bits
    suffix = ".pte"
    for_other_machines = True

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> dict[str, Any]:
        """Lower the graph to XNNPACK; raise TargetError where ExecuTorch refuses it."""
        self.version()
        graph = load(model)
        drop_weight_only_quantization(graph)
        average_by_convolution(graph)
        split_depthwise(graph)
        with exporter(), as_target_error(f"ExecuTorch refuses {model}"):
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            program = to_program(graph, DYNAMICALLY)
            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            delegated = delegation(edge.exported_program().graph_module)
            engine.write_bytes(edge.to_executorch().buffer)
        notes = [delegation_note(delegated), *([DYNAMIC] if delegated["int8_layers"] else []), UNVERIFIED]
        return {"delegation": delegated, "notes": notes}

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> ExecuTorchSession:
        self.version()
        return ExecuTorchSession(artifact.path, threads)


# --- the graph -----------------------------------------------------------------------------------


def average_by_convolution(model: ModelProto) -> None:
    """Turn each mean over the channels of (N, C, H, W) into a 1x1 convolution with weights 1 / C."""
    raise_opset(model, EXPORTERS_FIRST)  # where axes are inputs
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = [*graph.value_info, *graph.output]  # of a model for maps, outputs are read by layers too
    shapes = {value.name: value.type.tensor_type.shape.dim for value in known}
    constants = initializers(model)
    for node in model.graph.node:
        if node.op_type == "ReduceMean" and _axes(node, constants) == [1]:
            channels = shapes[node.input[0]][1].dim_value
            name = f"mean_of_{channels}"
            if name not in constants:
                weight = np.full((1, channels, 1, 1), 1 / channels, np.float32)
                constants[name] = add_constant(model, name, weight)
            node.op_type = "Conv"
            node.input[1] = name
            del node.attribute[:]


def _axes(node: NodeProto, constants: dict[str, Any]) -> list[int]:
    if len(node.input) < 2 or not read_attribute(node, "keepdims", 1):
        return []
    axes: list[int] = numpy_helper.to_array(constants[node.input[1]]).ravel().tolist()
    return axes


def quantize_dynamically(x: Tensor, *, scale: float, zero_point: int) -> Tensor:
    """Round values to codes of their own range and back, as XNNPACK's dynamic kernels do.

    x: float, or the image's bytes. The calibrated `scale` and `zero_point` are not used.
    """
    operators = torch.ops.quantized_decomposed
    x = x.float()
    parameters = operators.choose_qparams.tensor(x, LOW, HIGH, SMALLEST_SCALE, torch.int8)
    codes = operators.quantize_per_tensor.tensor(x, *parameters, LOW, HIGH, torch.int8)
    dequantized: Tensor = operators.dequantize_per_tensor.tensor(codes, *parameters, LOW, HIGH, torch.int8)
    return dequantized


DYNAMICALLY = {**LEFT_TO_RUNTIME, f"{DOMAIN}.Dequantize": quantize_dynamically}


# --- what became of it ---------------------------------------------------------------------------


def delegation(graph_module: Any) -> dict[str, Any]:
    """Return what XNNPACK runs of a lowered graph.

    Of the keys, `delegated` is the number of operators that it runs, in so many `pieces`, and `int8_layers`
    that of the products among them in INT8; `elsewhere` has the other operators by name, with their number.
    """
    from executorch.devtools.backend_debug import get_delegation_info

    found = get_delegation_info(graph_module)
    outside = {name: kind.non_delegated for name, kind in found.delegation_by_operator.items()}
    pieces = [module for name, module in graph_module.named_children() if name.startswith("lowered_module_")]
    return {
        "delegated": found.num_delegated_nodes,
        "pieces": found.num_delegated_subgraphs,
        "int8_layers": sum(_is_int8(node) for piece in pieces for node in piece.original_module.graph.nodes),
        "elsewhere": {name: count for name, count in sorted(outside.items()) if count and name != "getitem"},
    }


def _is_int8(node: torch.fx.Node) -> bool:
    """Return whether the node multiplies by a weight that comes from INT8 codes."""
    weight = node.args[1] if len(node.args) > 1 else None
    return isinstance(weight, torch.fx.Node) and "dequantize_per_channel" in str(weight.target)


def delegation_note(delegated: dict[str, Any]) -> str:
    """Return the sentence that tells a user what XNNPACK runs."""
    elsewhere = ", ".join(f"{count} {name}" for name, count in delegated["elsewhere"].items()) or "none"
    return (
        f"XNNPACK runs {delegated['delegated']} operators in {delegated['pieces']} piece(s),"
        f" {delegated['int8_layers']} of them products in INT8; left to portable kernels: {elsewhere}"
    )


TARGET = ExecuTorch()
