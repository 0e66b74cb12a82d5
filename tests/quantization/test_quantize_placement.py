"""quantize: which layers are INT8, and codes of their weights that overflow on no CPU."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto
from support.int8_graphs import DEPTHWISE, MULTIPLICATIONS, PAIR_LIMIT, load, pair_sums, weights
from support.models import Models

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.onnx_graph.lookup import consumers
from convnext_edge.onnx_graph.qdq import placement

LAYOUT_ONLY = {"Transpose", "Reshape"}
TARGETS = ("openvino", "onnxruntime")
# ONNX Runtime is faster with the head in float; in OpenVINO its weights alone are INT8
QUANTIZED = {"openvino": MULTIPLICATIONS, "onnxruntime": MULTIPLICATIONS - {"head"}}


def after_layout(model: ModelProto, name: str) -> list[NodeProto]:
    """What reads a value, seen through transposes and reshapes."""
    found = []
    for node in consumers(model, name):
        found += after_layout(model, node.output[0]) if node.op_type in LAYOUT_ONLY else [node]
    return found


# Placement


@pytest.mark.parametrize("target", TARGETS)
def test_the_multiplications_are_quantized_and_nothing_else(models: Models, target: str) -> None:
    description = open_artifact(models.quantized(target)).description
    assert set(description.quantized_layers) == QUANTIZED[target]
    assert set(description.float_layers) == {"stem", *DEPTHWISE, *(MULTIPLICATIONS - QUANTIZED[target])}


@pytest.mark.parametrize("target", TARGETS)
def test_raw_bytes_bring_the_stem_into_int8(models: Models, target: str) -> None:
    description = open_artifact(models.quantized(target, input_type="uint8")).description
    assert set(description.quantized_layers) == {"stem", *QUANTIZED[target]}
    assert set(description.float_layers) == DEPTHWISE | (MULTIPLICATIONS - QUANTIZED[target])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("input_type", ["float32", "uint8"])
def test_each_quantized_layer_has_one_q_and_two_dq_nodes_the_head_only_those_of_its_weights(
    models: Models, target: str, input_type: str
) -> None:
    path = models.quantized(target, input_type=input_type)  # type: ignore[arg-type]
    layers = open_artifact(path).description.quantized_layers
    model = load(path)
    found = Counter(node.op_type for node in model.graph.node)
    whole = {*layers} - {"head"}
    assert found["DequantizeLinear"] == len(layers) + len(whole)
    assert found["QuantizeLinear"] == len(whole) - (input_type == "uint8"), "the image needs no Q node"
    assert {name for name, both in placement(model).items() if both} == whole


@pytest.mark.parametrize("target", TARGETS)
def test_only_multiplications_read_quantized_values(models: Models, target: str) -> None:
    """LayerNorm, GELU and residual sums stay float."""
    model = load(models.quantized(target))
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            assert {user.op_type for user in after_layout(model, node.output[0])} == {"DequantizeLinear"}
        if node.op_type == "DequantizeLinear":
            assert {user.op_type for user in after_layout(model, node.output[0])} <= {"Conv", "MatMul"}


@pytest.mark.parametrize("target", TARGETS)
def test_the_bytes_of_the_image_are_codes_as_they_are(models: Models, target: str) -> None:
    model = load(models.quantized(target, input_type="uint8"))
    (image,) = model.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [node.op_type for node in after_layout(model, image.name)] == ["DequantizeLinear"]


@pytest.mark.parametrize("target", TARGETS)
def test_nodes_are_called_by_the_layers_of_the_checkpoint(models: Models, target: str) -> None:
    assert dict(weights(load(models.quantized(target)))).keys() == QUANTIZED[target]


# Codes


@pytest.mark.parametrize("target", TARGETS)
def test_no_pair_of_weights_can_overflow_16_bits(models: Models, target: str) -> None:
    sums = pair_sums(load(models.quantized(target)))
    assert sums.keys() == QUANTIZED[target]
    assert {name: total for name, total in sums.items() if total > PAIR_LIMIT} == {}


@pytest.mark.parametrize("target", TARGETS)
def test_no_pair_of_the_stem_can_overflow_either(models: Models, target: str) -> None:
    sums = pair_sums(load(models.quantized(target, input_type="uint8")))
    assert "stem" in sums
    assert max(sums.values()) <= PAIR_LIMIT


@pytest.mark.parametrize("target", TARGETS)
def test_codes_are_finer_than_seven_bits(models: Models, target: str) -> None:
    for name, rows in weights(load(models.quantized(target))):
        largest = np.abs(rows).reshape(len(rows), -1).max(1)
        assert largest.min() >= 63, name
        assert largest.max() > 64, name
