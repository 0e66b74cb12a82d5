"""Layers in an ONNX graph are called as in the model, and share no bias, which OpenVINO would not fuse."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from convnext_edge.onnx_graph.naming import INPUT, name_layers
from convnext_edge.targets.openvino import OpenVINOSession

SIDE, CHANNELS = 8, 16
NAMES = ["decoder.one", "decoder.two"]


def two_convolutions(bias: str) -> ModelProto:
    """Two INT8 convolutions of one input whose biases are one constant, called `bias`."""
    random = np.random.default_rng(0)
    constants = {
        "step": np.float32(0.02),
        "zero": np.uint8(128),
        "steps": np.full(CHANNELS, 1e-3, np.float32),
        "zeros": np.zeros(CHANNELS, np.int8),
        bias: random.normal(size=CHANNELS).astype(np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", [INPUT, "step", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "step", "zero"], ["x"]),
    ]
    for name in ("a", "b"):
        constants[f"{name}_codes"] = random.integers(-60, 60, (CHANNELS, CHANNELS, 1, 1)).astype(np.int8)
        nodes += [
            helper.make_node(
                "DequantizeLinear", [f"{name}_codes", "steps", "zeros"], [f"{name}_weight"], axis=0
            ),
            helper.make_node("Conv", ["x", f"{name}_weight", bias], [f"{name}_sums"], name=f"node_{name}"),
            helper.make_node("Relu", [f"{name}_sums"], [name]),
        ]
    shape = [1, CHANNELS, SIDE, SIDE]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (INPUT, "a", "b")]
    tensors = [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("bias", ["shared", "decoder.two.bias"])
def test_each_convolution_gets_a_bias_of_its_own(bias: str) -> None:
    model = two_convolutions(bias)
    before = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    name_layers(model, NAMES)
    onnx.checker.check_model(model, full_check=True)
    after = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    convolutions = {node.name: list(node.input) for node in model.graph.node if node.op_type == "Conv"}
    assert [inputs[2] for inputs in convolutions.values()] == [f"{name}.bias" for name in NAMES]
    assert all(np.array_equal(after[f"{name}.bias"], before[bias]) for name in NAMES)
    assert "shared" not in after


def test_openvino_adds_biases_within_its_int8_convolutions(tmp_path: Path) -> None:
    kinds = []
    for named in (False, True):
        model = two_convolutions("shared")
        if named:
            name_layers(model, NAMES)
        onnx.save(model, tmp_path / "model.onnx")
        with OpenVINOSession(tmp_path / "model.onnx", 1) as session:
            kinds.append(Counter(kind for kind, _ in session.kernels()))
    assert kinds[0]["Subgraph"] == kinds[1]["Subgraph"] + 2, "a pass for each bias, where they are one"
    assert kinds[1]["Convolution"] == 2


def test_a_convolution_without_a_bias_stays_so_beside_inputs_that_are_left_out() -> None:
    weight = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "weight")
    nodes = [
        helper.make_node("Conv", [INPUT, "weight"], ["sums"], name="node_a"),
        helper.make_node("Clip", ["sums", "", ""], ["a"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, SIDE, SIDE]) for name in (INPUT, "a")
    ]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    name_layers(model, NAMES[:1])
    (convolution,) = (node for node in model.graph.node if node.op_type == "Conv")
    assert list(convolution.input)[2:] == []
