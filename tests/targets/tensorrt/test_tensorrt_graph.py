"""The graph that TensorRT and TensorRT-RTX are given: codes, what has to fuse, and FP16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from support.answers import sqnr
from support.for_tensorrt import RTX, types
from support.models import CHECKPOINT_V2, RESOLUTION, Models

from convnext_edge import export
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.onnx_graph.half import half_scale, to_half
from convnext_edge.onnx_graph.opset import opset_of
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.targets.tensorrt.target import TENSORRT_RTX

pytestmark = pytest.mark.usefixtures("no_gpu")


@pytest.fixture(scope="session")
def v2_exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lowered for TensorRT-RTX, with GRN."""
    workspace = tmp_path_factory.mktemp("v2")
    return export(checkpoint=CHECKPOINT_V2, resolution=RESOLUTION, target=RTX, workspace=workspace).artifact


@pytest.fixture
def v2(v2_exported: Path) -> ModelProto:
    return onnx.load(v2_exported)


def initializers(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def run(model: ModelProto, images: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    logits: np.ndarray = session.run(None, {session.get_inputs()[0].name: images})[0]
    return logits


def test_codes_are_signed_and_symmetric(quantized: Path) -> None:
    model = onnx.load(quantized)
    held = initializers(model)
    zeros = [
        held[n.input[2]] for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert zeros
    assert {zero.dtype for zero in zeros} == {np.dtype(np.int8)}
    assert not any(zero.any() for zero in zeros)


def test_all_codes_of_the_weights_are_used(quantized: Path) -> None:
    model = onnx.load(quantized)
    weights = [t for t in model.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) > 1]
    assert all(np.abs(numpy_helper.to_array(weight)).max() == 127 for weight in weights)
    assert {weight.name.removesuffix(".weight") for weight in weights} == set(
        open_artifact(quantized).description.quantized_layers
    )


def test_nothing_stands_between_layer_norm_and_q_or_between_matmul_and_the_next_q(quantized: Path) -> None:
    """What has to fuse: LayerNorm with Q, and MatMul, bias and GELU with the Q of the next layer."""
    model = to_half(onnx.load(quantized))
    users = {name: node for node in model.graph.node for name in node.input}
    chains = set()
    for node in model.graph.node:
        if node.name.endswith("pwconv1"):
            bias = users[node.output[0]]
            gelu = users[bias.output[0]]
            chains.add((bias.op_type, gelu.op_type, users[gelu.output[0]].op_type))
    assert chains == {("Add", "Gelu", "QuantizeLinear")}
    norms = [node for node in model.graph.node if node.op_type == "LayerNormalization"]
    behind = [behind_layout(users, node) for node in norms]
    assert behind.count("QuantizeLinear") == len(norms) - 1  # the stem's norm feeds the residual path


def behind_layout(users: dict[str, onnx.NodeProto], node: onnx.NodeProto) -> str:
    """What reads a value, seen through transposes and reshapes."""
    user = users[node.output[0]]
    return behind_layout(users, user) if user.op_type in ("Transpose", "Reshape") else user.op_type


# FP16


@pytest.mark.parametrize("name", ["quantized", "exported"])
def test_fp16_gives_the_same_answers(models: Models, name: str) -> None:
    path = models.quantized(RTX) if name == "quantized" else models.exported()
    model = onnx.load(path)
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    images = example_input((3, RESOLUTION, RESOLUTION), "float32", batch=4, seed=3).numpy()
    assert sqnr(run(model, images), run(half, images)) > (30 if name == "quantized" else 50)


def test_norms_stay_fp32_and_products_become_fp16(quantized: Path) -> None:
    half = to_half(onnx.load(quantized))
    kinds = types(half)
    for node in half.graph.node:
        if node.op_type in ("LayerNormalization", "ReduceMean"):
            assert kinds[node.input[0]] == kinds[node.output[0]] == TensorProto.FLOAT
        if node.op_type in ("MatMul", "Conv", "Gelu"):
            assert {kinds[name] for name in [*node.input, *node.output]} == {TensorProto.FLOAT16}
    assert kinds["image"] == kinds["logits"] == TensorProto.FLOAT


OPSET_17 = """<ir_version: 8, opset_import: ["": 17]>
g (float[N, 4] image) => (float[N, 4] logits)
<float scale = {0.1}, int8 zero = {0}, float root = {1.4142135}, float one = {1}, float half = {0.5}>
{
    codes = QuantizeLinear(image, scale, zero)
    x = DequantizeLinear(codes, scale, zero)
    inner = Div(x, root)
    error = Erf(inner)
    sum = Add(error, one)
    product = Mul(x, sum)
    gelu = Mul(product, half)
    mean = ReduceMean<axes = [1], keepdims = 1>(gelu)
    logits = Sub(gelu, mean)
}"""


def test_fp16_beside_int8_is_written_in_an_opset_that_has_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    path = tmp_path / "old.onnx"
    onnx.save(onnx.parser.parse_model(OPSET_17), path)
    assert opset_of(TENSORRT_RTX.graph(path, "fp32")) == 17
    assert not caplog.messages
    half = TENSORRT_RTX.graph(path, None)
    assert opset_of(half) == 19
    assert "FP16 beside INT8 came with opset 19" in caplog.text
    onnx.checker.check_model(half, full_check=True)
    images = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
    assert sqnr(run(onnx.load(path), images), run(half, images)) > 50


def test_gelu_without_its_operator_is_fp16_as_a_whole() -> None:
    kinds = types(to_half(onnx.parser.parse_model(OPSET_17)))
    assert {kinds[name] for name in ("x", "inner", "error", "sum", "product", "gelu")} == {
        TensorProto.FLOAT16
    }


def test_grn_stays_fp32_up_to_its_factor(v2: ModelProto) -> None:
    half = to_half(v2)
    kinds = types(half)
    squares = [n for n in half.graph.node if n.op_type == "Mul" and n.input[0] == n.input[1]]
    assert squares
    kept = [*squares, *(n for n in half.graph.node if n.op_type in ("ReduceSum", "Sqrt", "Div"))]
    assert {kinds[node.output[0]] for node in kept} == {TensorProto.FLOAT}
    onnx.checker.check_model(half, full_check=True)


def test_what_would_overflow_in_fp16_does_not(v2: ModelProto) -> None:
    """GRN sums the squares of what comes out of GELU: with inputs of 300, each square is over 65504."""
    images = 300 * example_input((3, RESOLUTION, RESOLUTION), "float32", batch=1).numpy()
    assert np.isfinite(run(to_half(v2), images)).all()


def test_scales_are_numbers_of_fp16(quantized: Path) -> None:
    half = to_half(onnx.load(quantized))
    held = initializers(half)
    for node in half.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale = held[node.input[1]].astype(np.float32)
            np.testing.assert_array_equal(scale, scale.astype(np.float16).astype(np.float32))


def test_a_scale_that_fp16_cannot_hold_well_is_rounded_up_with_new_codes() -> None:
    scale = np.array([4e-7, 3e-9, 6.2e-5, 0.01], np.float32)
    rounded = half_scale(scale)
    assert (rounded[:2] >= scale[:2]).all()
    np.testing.assert_allclose(rounded[2:], scale[2:], rtol=2**-11)
    weight = (127 * scale).astype(np.float32)
    codes = np.rint(weight / rounded)
    assert np.abs(codes).max() <= 127
    assert np.abs(codes * rounded - weight).max() <= rounded.max() / 2
