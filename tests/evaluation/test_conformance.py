"""Golden cases: right answers conform, and engines that are deliberately wrong do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.errors import ArtifactError
from convnext_edge.evaluation import conformance
from convnext_edge.evaluation.conformance import Case, deviation, golden_cases, pictures, run_cases
from convnext_edge.images.definitions import calibration_dir


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> dict[str, Case]:
    """The cases, which are run in one way each."""
    monkeypatch.setattr(conformance, "THREADS", (1,))
    monkeypatch.setattr(conformance, "BATCHES", (8,))
    return {case.name: case for case in golden_cases()}


# What does not conform


def changed(case: Case, folder: Path, change: Callable[[onnx.ModelProto], None]) -> Case:
    """The case with another model under its golden logits."""
    model = onnx.load(case.model.path)
    change(model)
    path = folder / case.model.path.name
    made: Artifact = write_artifact(path, case.model.description, lambda file: onnx.save(model, file))
    return replace(case, model=made)


def initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    (found,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    return found


def raise_a_scale(model: onnx.ModelProto) -> None:
    """Make one scale of an activation larger by 1 %, where the model has INT8."""
    quantizer = [node for node in model.graph.node if node.op_type == "QuantizeLinear"][2]
    readers = [node for node in model.graph.node if quantizer.output[0] in node.input]
    tensor = initializer(model, quantizer.input[1])
    values = numpy_helper.to_array(tensor) * np.float32(1.01)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), "another_scale"))
    for node in (quantizer, *readers):
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.input[1] = "another_scale"


def swap_classes(model: onnx.ModelProto) -> None:
    """Turn the order of the classes around."""
    output = model.graph.output[0].name
    (last,) = (node for node in model.graph.node if output in node.output)
    last.output[list(last.output).index(output)] = "ordered"
    order = np.arange(9, -1, -1)
    model.graph.initializer.append(numpy_helper.from_array(order, "order"))
    model.graph.node.append(onnx.helper.make_node("Gather", ["ordered", "order"], [output], axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("change", [raise_a_scale, swap_classes])
@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_a_wrong_engine_does_not_conform(
    cases: dict[str, Case], tmp_path: Path, target: str, change: Callable[[onnx.ModelProto], None]
) -> None:
    wrong = changed(cases[f"int8-{target}"], tmp_path, change)
    (run,) = run_cases([wrong], [target])
    assert (run.passed, run.error) == (False, "")
    assert (run.top1_equal < run.top1_decided) == (change is swap_classes)


def test_an_engine_that_is_not_quantized_is_no_int8_engine(cases: dict[str, Case]) -> None:
    for name in ("int8-openvino", "int8-onnxruntime", "int8-bytes"):
        assert not deviation(cases[name], cases["fp32"].logits).passed
        assert deviation(cases[name], cases[name].logits).passed


@pytest.mark.parametrize("logits", [np.full((32, 10), np.nan), np.zeros((32, 9)), np.zeros((1, 10))])
def test_answers_that_are_none_do_not_conform(cases: dict[str, Case], logits: np.ndarray) -> None:
    found = deviation(cases["fp32"], logits.astype(np.float32))
    assert (found.passed, found.largest_difference) == (False, None)
    assert found.error


# The cases themselves


def test_a_golden_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(calibration_dir() / "conformance", tmp_path / "conformance")
    model = folder / "fp32.onnx"
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match="does not match its sidecar"):
        golden_cases(folder)


def test_pictures_are_what_they_always_were() -> None:
    # by hand: channel 2 of number 1 has seed 5: 35 % 17 - 8 across, 55 % 19 - 9 down, bend 9, start 185
    made = pictures(2, 64)
    expected = 185 - 7 * 3 + 8 * 5 + 3 * 5 // 9
    assert made.shape == (2, 3, 64, 64)
    assert made[1, 2, 5, 3] == expected
    assert (pictures(1, 64, first=1)[0] == made[1]).all()
