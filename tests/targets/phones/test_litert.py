"""LiteRT: the program that it is given, everywhere; engines and their answers where it is installed."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from support.answers import agreement, answers, answers_of_onnxruntime, sqnr
from support.models import CHECKPOINT_V2, RESOLUTION, Models

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.qdq import placement
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.targets.phones.litert import LiteRTSession, round_weights
from convnext_edge.targets.registry import find_target

NAME = "litert"
HERE = util.find_spec("litert_torch") is not None


# What needs no LiteRT


def test_weights_as_floats_are_those_that_the_codes_stand_for(models: Models) -> None:
    images = example_input((3, RESOLUTION, RESOLUTION), "float32").numpy()
    graph = onnx.load(models.quantized(NAME))
    expected = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"image": images})[0]
    products = sum(placement(graph).values())
    round_weights(graph)
    rounded = [
        node for node in graph.graph.node if node.op_type == "Round" and node.domain == "convnext_edge"
    ]
    assert len(rounded) == products > 0
    for node in rounded:  # ONNX Runtime knows nothing of rounding: by then the weights are what they are
        node.domain, node.op_type = "", "Identity"
        del node.input[1:], node.attribute[:]
    found = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"image": images})[0]
    assert sqnr(expected, found) > 45


@pytest.mark.skipif(HERE, reason="litert-torch is installed")
def test_without_litert_the_error_says_how_to_install_it(models: Models, tmp_path: Path) -> None:
    target = find_target(NAME)
    assert target.availability().remedy == "pip install 'convnext-edge[litert]'"
    with pytest.raises(TargetError, match="needs the package litert_torch") as caught:
        target.build(models.quantized(NAME), tmp_path / "a.tflite")
    assert caught.value.hint == "pip install 'convnext-edge[litert]'"


# Engines


@pytest.mark.litert
def test_products_are_int8_where_the_graph_says_so_and_nowhere_else(models: Models) -> None:
    engine = open_artifact(models.engine(NAME, models.quantized(NAME)))
    session = LiteRTSession(engine.path, 1)
    operators, int8 = session.operators()
    expected = placement(onnx.load(models.quantized(NAME)))
    assert int8 == sum(expected.values()) > 0
    depthwise = sum(name.endswith("dwconv") for name in expected)
    # each of the depthwise ones in three pieces
    assert operators["CONV_2D"] + operators["DEPTHWISE_CONV_2D"] == len(expected) + 2 * depthwise
    assert operators.keys().isdisjoint({"QUANTIZE", "DEQUANTIZE"})
    assert operators["TRANSPOSE"] == 1  # of the image


@pytest.mark.litert
def test_an_int8_engine_is_as_close_to_fp32_as_its_graph_in_exact_arithmetic(
    models: Models, batch: dict[str, np.ndarray]
) -> None:
    images = batch["float32"]
    reference = answers(models.exported(), "torch", images)
    exact = answers(models.quantized(NAME), "torch", images)
    found = answers(models.engine(NAME, models.quantized(NAME)), NAME, images)
    assert sqnr(reference, found) > sqnr(reference, exact) - 1
    # of random weights, where answers may be nearly alike
    assert agreement(reference, found) > 0.9


@pytest.mark.litert
def test_an_fp32_engine_of_raw_bytes_has_the_references_answers(
    models: Models, batch: dict[str, np.ndarray]
) -> None:
    engine = models.engine(NAME, models.exported("uint8"))
    reference = answers(models.exported(), "torch", batch["float32"])
    assert np.abs(answers(engine, NAME, batch["uint8"]) - reference).max() < 1e-3
    recorded = open_artifact(engine).description.engine
    assert recorded is not None
    assert recorded["int8_layers"] == 0
    assert len(recorded["notes"]) == 2
    assert recorded["notes"][-1].startswith("unverified on a device")


@pytest.mark.litert
def test_v2_engines_have_the_answers_of_onnx_runtime_for_the_same_file(
    models: Models, batch: dict[str, np.ndarray]
) -> None:
    images = batch["float32"]
    exported = models.exported(checkpoint=CHECKPOINT_V2)
    quantized = models.quantized(NAME, checkpoint=CHECKPOINT_V2)
    fp32, int8 = (answers_of_onnxruntime(model, images) for model in (exported, quantized))
    assert sqnr(fp32, answers(models.engine(NAME, exported), NAME, images)) > 100
    engine = models.engine(NAME, quantized)
    found = answers(engine, NAME, images)
    assert sqnr(int8, found) > 25  # ranges of each image against calibrated ones
    assert sqnr(fp32, found) > sqnr(fp32, int8) - 1
    assert agreement(int8, found) > 0.9
    recorded = open_artifact(engine).description.engine
    assert recorded is not None
    assert recorded["int8_layers"] == sum(placement(onnx.load(quantized)).values()) > 0


@pytest.mark.litert
def test_a_file_that_is_no_engine_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model" * 100)
    with pytest.raises(TargetError, match=f"LiteRT does not load {broken}"):
        LiteRTSession(broken, threads=1)
