"""An ONNX graph as the program that converters for phones read: the same numbers, in pt2e's operators."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from support.models import RESOLUTION, Models

from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.files import load
from convnext_edge.onnx_graph.qdq import placement
from convnext_edge.onnx_graph.tracing import Graph, example_input, write_onnx
from convnext_edge.targets.phones.decomposed import to_program
from convnext_edge.targets.simulation.graph import to_torch


@pytest.mark.slow(seconds=30)
@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("input_type", ["float32", "uint8"])
def test_the_program_computes_what_the_graph_says(models: Models, target: str, input_type: str) -> None:
    model = models.quantized(target, input_type=input_type)  # type: ignore[arg-type]
    image = example_input((3, RESOLUTION, RESOLUTION), input_type)[:1]  # type: ignore[arg-type]
    program = to_program(load(model))
    with torch.inference_mode():
        expected, found = to_torch(model)(image), program.module()(image)
    assert torch.allclose(expected, found, atol=1e-4)
    assert float(expected.std()) > 0.01


def test_codes_are_signed_and_each_product_keeps_its_own(models: Models) -> None:
    model = models.quantized("openvino")
    program = to_program(load(model))
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    found = Counter(str(node.target) for node in calls)
    products = sum(placement(onnx.load(model)).values())
    for operator in ("quantize_per_tensor", "dequantize_per_tensor"):
        assert found[f"quantized_decomposed.{operator}.default"] == products
    assert found["quantized_decomposed.dequantize_per_channel.default"] == products + 1, (
        "the head's weights too"
    )
    codes = {node.args[-1] for node in calls if "quantized_decomposed" in str(node.target)}
    assert codes == {torch.int8}
    weights = [name for name, tensor in program.state_dict.items() if tensor.dtype == torch.int8]
    assert len([name for name in weights if "weight" in name]) == products + 1


def test_a_square_is_a_product() -> None:
    """XNNPACK takes no tensor for an exponent."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (float[1, 3] image) => (float[1, 3] logits) '
        "<float two = {2.0}, float half = {0.5}> { square = Pow(image, two) logits = Pow(square, half) }"
    )
    program = to_program(model)
    found = Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")
    assert (found["aten.mul.Tensor"], found["aten.pow.Tensor_Tensor"]) == (1, 1)
    answer = program.module()(torch.tensor([[-3.0, 0.0, 2.0]]))
    assert answer.tolist() == [[3.0, 0.0, 2.0]]


@pytest.mark.slow
def test_gelu_is_one_operator_whatever_the_opset(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.GELU(), torch.nn.Conv2d(4, 2, 1))
    for opset in (17, 20):
        path = tmp_path / f"{opset}.onnx"
        image = torch.ones(2, 3, 4, 4)
        write_onnx(module.requires_grad_(False), image, path, Graph(["logits"], opset=opset))
        calls = {str(node.target) for node in to_program(load(path)).graph.nodes}
        assert "aten.gelu.default" in calls
        assert "aten.erf.default" not in calls


def test_codes_of_16_bits_are_refused() -> None:
    zero = numpy_helper.from_array(np.uint16(0), "zero")
    scale = numpy_helper.from_array(np.float32(0.5), "scale")
    nodes = [helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["codes"], name="wide")]
    shape = ["batch", 3, 2, 2]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("codes", TensorProto.UINT16, shape)],
        [scale, zero],
    )
    with pytest.raises(TargetError, match="wide quantizes to UINT16"):
        to_program(helper.make_model(graph))


@pytest.mark.parametrize("target", ["executorch", "litert", "coreml"])
def test_phones_get_no_norms_from_lengths_which_their_runtimes_lack(models: Models, target: str) -> None:
    found = {node.op_type for node in onnx.load(models.quantized(target)).graph.node}
    assert found.isdisjoint({"ReduceL2", "Max"})
    assert "ReduceMean" in found
