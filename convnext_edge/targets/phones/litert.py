"""LiteRT (TensorFlow Lite) on Android: FP32 activations, products in INT8.

Form "conv": the converter turns it into (N, H, W, C) without a transpose but that of the image, and does not
take products with more than three axes, as form "linear" has them.

As in XNNPACK, which runs it here, static INT8 kernels give INT8 out; a product with Q/DQ at its inputs alone
is computed in FP32, with its weights converted at each call. The dynamic kernels take FP32 in and out, choose
the range of their input anew for each image and round it. Weights are those of the file.

Depthwise convolutions stay in FP32: in INT8 they are no faster than those that are split for XNNPACK
(`xnnpack.py`), and cost the demo model 4 dB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from torch import Tensor

from convnext_edge.artifacts.artifact import Artifact, Form
from convnext_edge.cpu import Machine, usable_cpus
from convnext_edge.network.exporter import exporter
from convnext_edge.onnx_graph.files import load
from convnext_edge.onnx_graph.lookup import add_constant, initializers
from convnext_edge.onnx_graph.qdq import dequantize, drop_weight_only_quantization
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quiet import quiet, quiet_below
from convnext_edge.targets.base import NO_OPTIONS, BuildOptions, Images, Outputs, Session, Target
from convnext_edge.targets.phones.decomposed import (
    DOMAIN,
    DYNAMIC,
    LEFT_TO_RUNTIME,
    to_program,
)
from convnext_edge.targets.phones.xnnpack import split_depthwise
from convnext_edge.targets.vendor_errors import as_target_error

LARGEST_CODE = 127
PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
UNVERIFIED = "unverified on a device: `validate` runs it in LiteRT on this machine's CPU"


class LiteRTSession(Session):
    """An engine in LiteRT, one image a call."""

    runner = "LiteRT"

    def __init__(self, engine: Path, threads: int | None) -> None:
        with quiet(), quiet_below(), as_target_error(f"LiteRT does not load {engine}"):
            from ai_edge_litert.interpreter import Interpreter

            self.interpreter = Interpreter(str(engine), num_threads=threads or usable_cpus())
            self.interpreter.allocate_tensors()
        self.image = self.interpreter.get_input_details()[0]["index"]
        self.outputs = [output["index"] for output in self.interpreter.get_output_details()]

    def _run(self, images: Images) -> Outputs:
        calls = [self._call(image) for image in images]
        return tuple(np.concatenate(parts) for parts in zip(*calls, strict=True))

    def _call(self, image: Images) -> Outputs:
        self.interpreter.set_tensor(self.image, image[None])
        self.interpreter.invoke()
        return tuple(self.interpreter.get_tensor(index) for index in self.outputs)

    def operators(self) -> tuple[dict[str, int], int]:
        """Return how many operators there are of each kind, and how many products have INT8 weights."""
        found = [op for op in self.interpreter._get_ops_details() if op["op_name"] != "DELEGATE"]
        types = {tensor["index"]: tensor["dtype"] for tensor in self.interpreter.get_tensor_details()}
        products = [op["inputs"] for op in found if op["op_name"] in PRODUCTS]
        int8 = sum(types.get(inputs[1]) == np.int8 for inputs in products)
        return dict(Counter(op["op_name"] for op in found)), int8


class LiteRT(Target):
    """LiteRT, which was TensorFlow Lite, with XNNPACK."""

    name = "litert"
    package = "litert_torch"
    install = "convnext-edge[litert]"
    form = "conv"
    int8_forms: ClassVar[Mapping[Machine, tuple[Form, ...]]] = {"aarch64": ("conv",)}
    recipe = Recipe(weight_scale="full")  # its kernels add up in 32 bits
    suffix = ".tflite"

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> dict[str, Any]:
        """Convert the graph; raise TargetError where LiteRT's converter refuses it."""
        self.version()
        graph = load(model)
        drop_weight_only_quantization(graph)
        round_weights(graph)
        split_depthwise(graph)
        with exporter(), quiet_below(), as_target_error(f"LiteRT's converter refuses {model}"):
            write_engine(graph, engine)
        with LiteRTSession(engine, 1) as session:
            operators, int8 = session.operators()
        notes = [operators_note(operators, int8), *([DYNAMIC] if int8 else []), UNVERIFIED]
        return {"operators": operators, "int8_layers": int8, "notes": notes}

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> LiteRTSession:
        self.version()
        return LiteRTSession(artifact.path, threads)


# --- the graph -----------------------------------------------------------------------------------


def round_weights(model: ModelProto) -> None:
    """Turn weight codes into the floats that they stand for, to be rounded again: the converter's own way."""
    constants = initializers(model)
    for node in model.graph.node:
        if (
            node.op_type == "DequantizeLinear"
            and node.input[0] in constants
            and constants[node.input[1]].dims
        ):
            _round_weight(node, model, constants)


def _round_weight(node: NodeProto, model: ModelProto, constants: dict[str, TensorProto]) -> None:
    weight = dequantize(node, constants)
    constants[node.input[0]].CopyFrom(numpy_helper.from_array(weight, node.input[0]))
    (channels,) = constants[node.input[1]].dims
    zeros = f"zeros_{channels}"
    if zeros not in constants:
        constants[zeros] = add_constant(model, zeros, np.zeros(channels, np.int32))
    node.domain, node.op_type = DOMAIN, "Round"
    node.input[2] = zeros


def round_weight(weight: Tensor, scale: Tensor, zero_point: Tensor, *, axis: int = 1) -> Tensor:
    """Return the weight, rounded in the way that the converter recognizes.

    weight: on the grid of `scale` (weight.shape[axis],), so that rounding changes nothing.
    """
    operators = torch.ops.quantized_decomposed
    arguments = (scale, zero_point, axis, -LARGEST_CODE, LARGEST_CODE, torch.int8)
    codes = operators.quantize_per_channel.default(weight, *arguments)
    rounded: Tensor = operators.dequantize_per_channel.default(codes, *arguments)
    return rounded


def write_engine(graph: ModelProto, engine: Path) -> None:
    """Write the graph in LiteRT's format, with products that the dynamic kernels take."""
    import litert_torch

    program = to_program(graph, {**LEFT_TO_RUNTIME, f"{DOMAIN}.Round": round_weight})
    assert program.example_inputs is not None
    # its own dynamic mode would quantize every product, whatever the graph says
    with strict_qdq():
        made = litert_torch.convert(program.module(), program.example_inputs[0])
    made.export(str(engine))
    multiply_codes(engine)


@contextmanager
def strict_qdq() -> Iterator[None]:
    """Let weights stay codes with a DEQUANTIZE behind them.

    The converter has this setting, and no argument for it.
    """
    from litert_torch._convert import litert_converter

    settings = litert_converter.converter_api_ext
    make = settings.ConvertToTFLConfig

    def strict() -> Any:
        config = make()
        config.strict_qdq_mode = True
        return config

    settings.ConvertToTFLConfig = strict
    try:
        yield
    finally:
        settings.ConvertToTFLConfig = make


def multiply_codes(engine: Path) -> None:
    """Give each product whose weight comes from a DEQUANTIZE the codes: that is what dynamic kernels take."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(engine))
    (graph,) = model.subgraphs
    kinds = {value: name for name, value in vars(BuiltinOperator).items() if isinstance(value, int)}
    names = [kinds[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    codes = {
        op.outputs[0]: int(op.inputs[0]) for op in graph.operators if names[op.opcodeIndex] == "DEQUANTIZE"
    }
    for op in graph.operators:
        if names[op.opcodeIndex] in PRODUCTS and op.inputs[1] in codes:
            activation, weight, *rest = map(int, op.inputs)
            op.inputs = [activation, codes[weight], *rest]
    read = {name for op in graph.operators for name in op.inputs}
    graph.operators = [op for op in graph.operators if op.outputs[0] not in codes or op.outputs[0] in read]
    flatbuffer_utils.write_model(model, str(engine))


def operators_note(operators: dict[str, int], int8: int) -> str:
    """Return the sentence that tells a user how much of the engine is in INT8."""
    products = sum(operators.get(kind, 0) for kind in PRODUCTS)
    return f"{sum(operators.values())} operators, {int8} of the {products} products among them in INT8"


TARGET = LiteRT()
