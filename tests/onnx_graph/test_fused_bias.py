"""Biases that move into ONNX Runtime's INT8 products, with the same answers, where nobody else reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convnext_edge.onnx_graph.fused_bias import move_biases

MICROSOFT = "com.microsoft"
GENERATOR = np.random.default_rng(0)
CONSTANTS = {
    "weight": GENERATOR.integers(-60, 60, (16, 24), np.int8),
    "input_scale": np.float32(0.1),
    "weight_scale": GENERATOR.uniform(0.01, 0.02, 24).astype(np.float32),
    "zero": np.uint8(3),
    "bias": GENERATOR.standard_normal(24).astype(np.float32),
    "other": GENERATOR.standard_normal((1, 5, 24)).astype(np.float32),
}
CODES = GENERATOR.integers(0, 255, (1, 5, 16), np.uint8)


def product(output: str = "product", *, bias: str = "") -> NodeProto:
    inputs = ["codes", "weight", "input_scale", "weight_scale", "zero"]
    return helper.make_node(
        "MatMulIntegerToFloat", [*inputs, *(["", bias] if bias else [])], [output], domain=MICROSOFT
    )


def model(nodes: Sequence[NodeProto], outputs: Sequence[str] = ("y",)) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("codes", TensorProto.UINT8, [1, 5, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 5, 24]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in CONSTANTS.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def answers(made: ModelProto) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    return list(session.run(None, {"codes": CODES}))


def gelu(*inputs: str) -> NodeProto:
    return helper.make_node("BiasGelu", inputs, ["y"], domain=MICROSOFT)


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ([product(), helper.make_node("Add", ["product", "bias"], ["y"])], ["MatMulIntegerToFloat"]),
        ([product(), helper.make_node("Add", ["bias", "product"], ["y"])], ["MatMulIntegerToFloat"]),
        ([product(), gelu("product", "bias")], ["MatMulIntegerToFloat", "Gelu"]),
    ],
    ids=["sum", "sum the other way round", "gelu"],
)
def test_a_bias_moves_into_its_product_with_the_same_answers(nodes: list[NodeProto], left: list[str]) -> None:
    made = model(nodes)
    (before,) = answers(made)
    assert move_biases(made) == 1
    assert [node.op_type for node in made.graph.node] == left
    (after,) = answers(made)
    np.testing.assert_array_equal(after, before)
    assert move_biases(made) == 0


def add(bias: str, output: str = "y", value: str = "product") -> NodeProto:
    return helper.make_node("Add", [value, bias], [output])


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([product(), add("other")], ["y"]),
        ([product(bias="bias"), add("bias")], ["y"]),
        ([product(), add("bias")], ["y", "product"]),
        ([product(), add("bias"), add("bias", "z")], ["y", "z"]),
        ([product(), product("second"), add("second")], ["y"]),
    ],
    ids=["of each row", "has one", "an output", "read twice", "of two products"],
)
def test_what_is_no_bias_of_one_product_alone_stays(nodes: list[NodeProto], outputs: list[str]) -> None:
    made = model(nodes, outputs)
    before, kinds = answers(made), [node.op_type for node in made.graph.node]
    assert move_biases(made) == 0
    assert [node.op_type for node in made.graph.node] == kinds
    for one, other in zip(answers(made), before, strict=True):
        np.testing.assert_array_equal(one, other)
