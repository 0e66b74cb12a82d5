"""Q/DQ nodes read, rewritten and taken out: the graph computes what it should, by other implementations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from support.models import RESOLUTION, Models

from convnext_edge import quantize
from convnext_edge.onnx_graph.lookup import initializers, prune_constants
from convnext_edge.onnx_graph.qdq import dequantize, drop_weight_only_quantization, placement
from convnext_edge.onnx_graph.tracing import example_input

CODES = np.array([[-128, 0, 5], [127, -1, 64]], np.int8)


def model_of(node: NodeProto, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """One node of constants; the graph has no input."""
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "g", [], [output], tensors)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(
    ("axis", "scale", "zero_point"),
    [
        (None, np.float32(0.5), None),
        (None, np.float32(0.5), np.int8(3)),
        (None, np.array([0.5, 2, 0.25], np.float32), None),  # ONNX's default axis is 1
        (0, np.array([0.5, 2], np.float32), np.array([0, -7], np.int8)),
        (-2, np.array([0.5, 2], np.float32), np.array([0, 0], np.int8)),
        (1, np.array([0.5, 2, 0.25], np.float32), np.array([1, 2, 3], np.int8)),
    ],
)
def test_constants_are_dequantized_as_the_reference_evaluator_does(
    axis: int | None, scale: np.ndarray, zero_point: np.ndarray | None
) -> None:
    constants = {"codes": CODES, "scale": scale, "zero": zero_point}
    given = {name: np.asarray(value) for name, value in constants.items() if value is not None}
    attributes = {} if axis is None else {"axis": axis}
    model = model_of(helper.make_node("DequantizeLinear", list(given), ["y"], **attributes), given)
    (expected,) = ReferenceEvaluator(model).run(None, {})
    np.testing.assert_array_equal(dequantize(model.graph.node[0], initializers(model)), expected)


def test_only_constants_that_nothing_reads_are_pruned() -> None:
    constants = {name: np.zeros((2, 3), np.float32) for name in ("unused", "a", "spare", "b", "y2")}
    model = model_of(helper.make_node("Add", ["a", "b"], ["y"]), constants)
    model.graph.output.append(helper.make_tensor_value_info("y2", TensorProto.FLOAT, [2, 3]))
    prune_constants(model)
    assert [tensor.name for tensor in model.graph.initializer] == ["a", "b", "y2"]


def test_weights_alone_are_float_where_a_runtime_would_quantize_their_inputs_too(
    models: Models, tmp_path: Path
) -> None:
    (tmp_path / "weights.toml").write_text('activation = "float"\nkeep_float = ["head"]\n')
    made = quantize(
        models.exported(),
        calib=str(models.photos),
        samples=2,
        target="openvino",
        recipe=tmp_path / "weights.toml",
        output=tmp_path / "weights.onnx",
        timing=False,
        workspace=models.workspace,
    ).artifact
    image = example_input((3, RESOLUTION, RESOLUTION), "float32").numpy()
    graph = onnx.load(made)
    expected = onnxruntime.InferenceSession(made).run(None, {"image": image})[0]
    assert Counter(node.op_type for node in graph.graph.node)["DequantizeLinear"] > 0
    drop_weight_only_quantization(graph)
    assert Counter(node.op_type for node in graph.graph.node)["DequantizeLinear"] == 0
    found = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"image": image})[0]
    assert np.abs(expected - found).max() < 1e-4


def test_weights_stay_codes_where_inputs_are_quantized(models: Models) -> None:
    graph = onnx.load(models.quantized("openvino"))
    before = placement(graph)
    drop_weight_only_quantization(graph)
    assert placement(graph) == before
    assert sum(node.op_type == "DequantizeLinear" for node in graph.graph.node) == 2 * sum(before.values())
