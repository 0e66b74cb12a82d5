"""Every opset that is offered holds the model, with the same answers and with GELU fused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from onnx import ModelProto
from openvino._offline_transformations import apply_moc_transformations
from torch import nn

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.errors import ExportError, TargetError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.lowering import lower
from convnext_edge.onnx_graph.gelu import find_gelu, join_gelu
from convnext_edge.onnx_graph.opset import opset_of, raise_opset
from convnext_edge.onnx_graph.tracing import Graph, example_input, fit_opset, write_onnx

pytestmark = pytest.mark.slow

RESOLUTION = 8
# GRN has reductions as well; the forms differ in how norms are written
MODEL = Architecture(depths=(1,), dims=(4,), patch=2, classes=5, grn=True)
IMAGES = example_input((3, RESOLUTION, RESOLUTION), "float32", batch=3, seed=3)


def reference() -> ConvNeXt:
    torch.manual_seed(0)
    return ConvNeXt(MODEL).eval()


def written(form: Form, opset: int, folder: Path) -> Path:
    path = folder / "model.onnx"
    lowered = lower(reference(), form, preprocessing=Preprocessing(resolution=RESOLUTION))
    write_onnx(lowered, IMAGES, path, Graph(["logits"], opset=opset))
    return path


def operators(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def in_onnxruntime(path: Path, images: torch.Tensor) -> tuple[np.ndarray, Counter[str]]:
    """The answers, and the operators of the graph that runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {"image": images.numpy()})
    return answers, operators(onnx.load(options.optimized_model_filepath))


def in_openvino(path: Path) -> tuple[np.ndarray, Counter[str], Counter[str]]:
    """The answers, the operators behind the fusions that all plugins have, and the kernels of the CPU's."""
    core = openvino.Core()
    model = core.read_model(path)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kernels = (node.get_rt_info()["layerType"].value for node in compiled.get_runtime_model().get_ops())
    answers = np.array(compiled({0: IMAGES.numpy()})[0])
    apply_moc_transformations(model, cf=False)
    return answers, Counter(op.get_type_name() for op in model.get_ops()), Counter(kernels)


@pytest.mark.parametrize(
    ("form", "opset"),
    [("plain", 17), ("conv", 17), *(("linear", opset) for opset in (17, 18, 19, 20, 21, 22))],
)
def test_an_opset_has_the_same_answers_with_gelu_fused(form: Form, opset: int, tmp_path: Path) -> None:
    path = written(form, opset, tmp_path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert opset_of(model) == opset
    assert operators(model)["Gelu" if opset >= 20 else "Erf"] == 1
    with torch.inference_mode():
        expected = reference()(IMAGES).numpy()
    answers, fused = in_onnxruntime(path, IMAGES)
    assert np.abs(answers - expected).max() < 1e-5
    assert (fused["Gelu"] + fused["BiasGelu"], fused["Erf"]) == (1, 0)
    answers, fused, _ = in_openvino(path)
    assert np.abs(answers - expected).max() < 1e-5
    assert (fused["Gelu"], fused["Erf"]) == (1, 0)


def test_openvino_runs_the_kernels_that_it_runs_for_the_operator(tmp_path: Path) -> None:
    *_, pattern = in_openvino(written("conv", 17, tmp_path))
    *_, operator = in_openvino(written("conv", 20, tmp_path))
    del pattern["Const"], operator["Const"]  # axes, which 17 has in each node
    assert pattern == operator


@pytest.mark.parametrize("opset", [17, 20])
def test_the_approximated_gelu_is_fused_too(opset: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU("tanh"), nn.Conv2d(4, 2, 1)).requires_grad_(False)
    write_onnx(module, IMAGES, path, Graph(["logits"], opset=opset))
    assert operators(onnx.load(path))["Gelu" if opset == 20 else "Tanh"] == 1
    answers, fused = in_onnxruntime(path, IMAGES)
    assert np.abs(answers - module(IMAGES).numpy()).max() < 1e-5
    assert (fused["Gelu"] + fused["FastGelu"], fused["Tanh"]) == (1, 0)
    _, fused, _ = in_openvino(path)
    assert (fused["Gelu"], fused["Tanh"]) == (1, 0)


def test_patterns_are_found_and_joined(tmp_path: Path) -> None:
    model = onnx.load(written("linear", 17, tmp_path))
    found = [node.op_type for node in model.graph.node if node.name in find_gelu(model)]
    assert found == ["Div", "Erf", "Add", "Mul", "Mul"]
    assert operators(join_gelu(model)) == operators(onnx.load(written("linear", 20, tmp_path)))


def test_a_raised_graph_is_valid_and_the_same_function(tmp_path: Path) -> None:
    path = written("conv", 17, tmp_path)
    model = onnx.load(path)
    before, _ = in_onnxruntime(path, IMAGES)
    raise_opset(model, 19)
    onnx.save(model, path)
    onnx.checker.check_model(model, full_check=True)
    after, _ = in_onnxruntime(path, IMAGES)
    assert opset_of(model) == 19
    assert (after == before).all()
    assert {len(node.input) for node in model.graph.node if node.op_type == "ReduceMean"} == {2}
    raise_opset(model, 17)
    assert opset_of(model) == 19, "never lowered"


def test_a_graph_that_states_no_opset_is_refused() -> None:
    with pytest.raises(TargetError, match="states no version") as caught:
        opset_of(ModelProto())
    assert caught.value.hint


@pytest.mark.parametrize(("wanted", "made"), [(None, 21), (21, 21), (22, 22)])
def test_codes_of_16_bits_are_in_an_opset_that_has_them(wanted: int | None, made: int) -> None:
    model = wide(wanted or 20)
    fit_opset(model, wanted)
    assert opset_of(model) == made


@pytest.mark.parametrize("wanted", [17, 20])
def test_an_opset_without_codes_of_16_bits_is_refused(wanted: int) -> None:
    with pytest.raises(ExportError, match=f"opset {wanted} has no activations of 16 bits") as caught:
        fit_opset(wide(max(wanted, 18)), wanted)
    assert caught.value.hint == "Take opset 21 or later."


def wide(opset: int) -> ModelProto:
    """A model with a zero point of 16 bits."""
    return onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": {opset}]>'
        "g (float[2] image) => (uint16[2] logits) <float scale = {0.5}, uint16 zero = {7}>"
        "{ logits = QuantizeLinear(image, scale, zero) }"
    )
