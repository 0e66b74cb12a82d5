"""ExecuTorch: the program that it is given, everywhere; engines and their answers where it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.answers import agreement, answers, answers_of_onnxruntime, sqnr
from support.models import CHECKPOINT_V2, RESOLUTION, Models

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.qdq import placement
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.targets.phones.executorch import average_by_convolution
from convnext_edge.targets.registry import find_target

NAME = "executorch"
HERE = util.find_spec("executorch") is not None


# What needs no ExecuTorch


def test_a_mean_over_channels_is_a_convolution(models: Models) -> None:
    images = example_input((3, RESOLUTION, RESOLUTION), "float32").numpy()
    graph = onnx.load(models.quantized(NAME))
    means = [node for node in graph.graph.node if node.op_type == "ReduceMean"]
    expected = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"image": images})[0]
    average_by_convolution(graph)
    onnx.checker.check_model(graph, full_check=True)
    left = [node for node in graph.graph.node if node.op_type == "ReduceMean"]
    assert (len(means), len(left)) == (21, 1)  # two of each of ten norms; that over rows and columns stays
    found = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"image": images})[0]
    assert np.abs(expected - found).max() < 1e-4


def test_a_mean_over_channels_is_a_convolution_where_axes_are_attributes_too() -> None:
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        "g (float[N, 3, 2, 2] image) => (float[N, 1, 2, 2] logits)"
        "{ x = Relu(image) logits = ReduceMean<axes = [1], keepdims = 1>(x) }"
    )
    average_by_convolution(graph)
    onnx.checker.check_model(graph, full_check=True)
    assert [node.op_type for node in graph.graph.node] == ["Relu", "Conv"]


def test_a_mean_over_the_channels_of_an_output_is_a_convolution() -> None:
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 20]>'
        "g (float[N, 3, 2, 2] image) => (float[N, 3, 2, 2] map0, float[N, 1, 2, 2] mean)"
        "<int64[1] axes = {1}> { map0 = Relu(image) mean = ReduceMean<keepdims = 1>(map0, axes) }"
    )
    average_by_convolution(graph)
    assert [node.op_type for node in graph.graph.node] == ["Relu", "Conv"]


@pytest.mark.skipif(HERE, reason="executorch is installed")
def test_without_executorch_the_error_says_how_to_install_it(models: Models, tmp_path: Path) -> None:
    target = find_target(NAME)
    assert target.availability().remedy == "pip install 'convnext-edge[executorch]'"
    with pytest.raises(TargetError, match="needs the package executorch") as caught:
        target.build(models.quantized(NAME), tmp_path / "a.pte")
    assert caught.value.hint == "pip install 'convnext-edge[executorch]'"


# Engines


@pytest.mark.executorch
def test_xnnpack_takes_the_whole_graph_and_each_product_that_is_quantized_in_int8(models: Models) -> None:
    engine = open_artifact(models.engine(NAME, models.quantized(NAME)))
    assert engine.description.engine is not None
    found = engine.description.engine["delegation"]
    assert found["int8_layers"] == sum(placement(onnx.load(models.quantized(NAME))).values()) > 0
    assert (found["pieces"], found["elsewhere"]) == (1, {})


@pytest.mark.executorch
def test_an_int8_engine_is_as_close_to_fp32_as_its_graph_in_exact_arithmetic(
    models: Models, batch: dict[str, np.ndarray]
) -> None:
    images = batch["float32"]
    reference = answers(models.exported(), "torch", images)
    exact = answers(models.quantized(NAME), "torch", images)
    found = answers(models.engine(NAME, models.quantized(NAME)), NAME, images)
    assert sqnr(reference, found) > sqnr(reference, exact) - 1
    assert agreement(reference, found) > 0.9  # of random weights, where answers may be nearly alike


@pytest.mark.executorch
def test_an_engine_takes_the_raw_bytes_of_an_image(models: Models, batch: dict[str, np.ndarray]) -> None:
    reference = answers(models.exported(), "torch", batch["float32"])
    quantized = models.quantized(NAME, input_type="uint8")
    found = answers(models.engine(NAME, quantized), NAME, batch["uint8"])
    assert agreement(reference, found) > 0.9
    assert sqnr(reference, found) > 25


@pytest.mark.executorch
def test_an_fp32_engine_has_the_references_answers(models: Models, batch: dict[str, np.ndarray]) -> None:
    images = batch["float32"]
    engine = models.engine(NAME, models.exported())
    reference = answers(models.exported(), "torch", images)
    assert np.abs(answers(engine, NAME, images) - reference).max() < 1e-4
    recorded = open_artifact(engine).description.engine
    assert recorded is not None
    assert recorded["delegation"]["int8_layers"] == 0
    assert not [note for note in recorded["notes"] if "INT8 layers take" in note]


@pytest.mark.executorch
def test_a_file_that_is_no_engine_is_said(models: Models, tmp_path: Path) -> None:
    from convnext_edge.targets.phones.executorch import ExecuTorchSession

    broken = tmp_path / "broken.pte"
    broken.write_bytes(b"no program" * 100)
    with pytest.raises(TargetError, match=f"ExecuTorch does not load {broken}"):
        ExecuTorchSession(broken, threads=1)


@pytest.mark.executorch
def test_the_command_line_stays_clean_though_the_runtime_is_chatty(models: Models) -> None:
    engine = models.engine(NAME, models.quantized(NAME))
    call = [sys.executable, "-m", "convnext_edge", "benchmark", engine, "--runs", "2", "--json"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["candidate_ms"]["p50"] > 0
    assert done.stderr == ""


@pytest.mark.executorch
def test_a_session_runs_on_the_threads_that_it_is_given(models: Models) -> None:
    from executorch.extension.pybindings import portable_lib

    engine = open_artifact(models.engine(NAME, models.quantized(NAME)))
    for threads in (2, 1):
        with find_target(NAME).open_session(engine, threads=threads):
            assert portable_lib._threadpool_get_thread_count() == threads
    assert torch.get_num_threads() >= 1


@pytest.mark.executorch
def test_a_session_of_another_number_of_threads_is_refused_while_one_is_open(
    models: Models, batch: dict[str, np.ndarray]
) -> None:
    engine = open_artifact(models.engine(NAME, models.quantized(NAME)))
    target, images = find_target(NAME), batch["float32"][:2]
    with target.open_session(engine, threads=2) as two:
        expected = two.run(images)
        with pytest.raises(TargetError, match="3 threads cannot be had while a session with 2 is open"):
            target.open_session(engine, threads=3)
        with target.open_session(engine, threads=2) as another:
            np.testing.assert_array_equal(another.run(images), expected)
        np.testing.assert_array_equal(two.run(images), expected)
    with target.open_session(engine, threads=3) as three:
        np.testing.assert_array_equal(three.run(images), expected)


# V2


@pytest.mark.executorch
def test_v2_engines_have_the_answers_of_onnx_runtime_for_the_same_file(
    models: Models, batch: dict[str, np.ndarray]
) -> None:
    images = batch["float32"]
    exported, quantized = (
        models.exported(checkpoint=CHECKPOINT_V2),
        models.quantized(NAME, checkpoint=CHECKPOINT_V2),
    )
    fp32, int8 = (answers_of_onnxruntime(model, images) for model in (exported, quantized))
    assert sqnr(fp32, answers(models.engine(NAME, exported), NAME, images)) > 100
    engine = models.engine(NAME, quantized)
    found = answers(engine, NAME, images)
    assert sqnr(int8, found) > 25  # ranges of each image against calibrated ones
    assert sqnr(fp32, found) > sqnr(fp32, int8) - 1
    assert agreement(int8, found) > 0.9
    recorded = open_artifact(engine).description.engine
    assert recorded is not None
    assert recorded["delegation"]["int8_layers"] == sum(placement(onnx.load(quantized)).values()) > 0
    # GRN's sum over rows and columns, one a block
    assert recorded["delegation"]["elsewhere"] == {"aten_sum_dim_int_list": 5}
