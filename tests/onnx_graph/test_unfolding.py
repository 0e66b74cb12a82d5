"""Quantization in front of what copies a map's values, beside quantization behind it."""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from convnext_edge.onnx_graph.unfolding import quantize_before_unfolding

SIZE = 5


def graph(*, maps: int = 1, pads_with: float = 0, read_elsewhere: bool = False) -> ModelProto:
    """Two places of padded maps side by side, quantized, and what was quantized."""
    nodes = [helper.make_node("Pad", [f"x{n}", "pads", "value"], [f"padded{n}"]) for n in range(maps)]
    pieces = []
    for number in range(maps):
        for start in (0, 2):
            pieces.append(f"piece{number}_{start}")
            nodes.append(
                helper.make_node(
                    "Slice", [f"padded{number}", f"{start}", f"{start + SIZE}", "axes"], pieces[-1:]
                )
            )
    nodes += [
        helper.make_node("Concat", pieces, ["rows"], axis=2),
        helper.make_node("QuantizeLinear", ["rows", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"]),
    ]
    outputs = ["y"]
    if read_elsewhere:
        nodes.append(helper.make_node("Neg", ["padded0"], ["other"]))
        outputs = ["y", "other"]
    constants = {
        "pads": np.array([0, 1, 0, 0, 1, 0]),
        "value": np.float32(pads_with),
        "axes": np.array([1]),
        "scale": np.float32(0.1),
        "zero": np.uint8(7),
        **{f"{place}": np.array([place]) for place in (0, 2, SIZE, SIZE + 2)},
    }
    made = helper.make_graph(
        nodes,
        "unfolding",
        [helper.make_tensor_value_info(f"x{n}", TensorProto.FLOAT, [1, SIZE, 3]) for n in range(maps)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def answers(model: ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    generator = np.random.default_rng(0)
    given = {each.name: generator.normal(size=each.shape).astype(np.float32) for each in session.get_inputs()}
    return list(session.run(None, given))


def order(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_maps_are_quantized_before_they_are_unfolded() -> None:
    before = graph()
    after = copy.deepcopy(before)
    quantize_before_unfolding(after)
    assert order(after) == ["QuantizeLinear", "Pad", "Slice", "Slice", "Concat", "DequantizeLinear"]
    np.testing.assert_array_equal(answers(after)[0], answers(before)[0])


def test_a_map_that_is_padded_with_other_than_zeros_is_quantized_behind_that() -> None:
    before = graph(pads_with=1.0)
    after = copy.deepcopy(before)
    quantize_before_unfolding(after)
    assert order(after) == ["Pad", "QuantizeLinear", "Slice", "Slice", "Concat", "DequantizeLinear"]
    np.testing.assert_array_equal(answers(after)[0], answers(before)[0])


@pytest.mark.parametrize("different", [{"maps": 2}, {"read_elsewhere": True}])
def test_what_is_no_copy_of_one_map_stays_as_it_is(different: dict[str, float]) -> None:
    before = graph(**different)  # type: ignore[arg-type]
    after = copy.deepcopy(before)
    quantize_before_unfolding(after)
    assert after == before


def test_a_graph_without_quantization_stays_as_it_is() -> None:
    before = graph()
    del before.graph.node[-2:]
    before.graph.output[0].name = "rows"
    after = copy.deepcopy(before)
    quantize_before_unfolding(after)
    assert after == before
