"""Other norms and stems than the usual ones: what each runtime makes of them, counted in kernels.

An update of a runtime, or of an exporter, may lose a fusion without a word, and with it the speed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest

from convnext_edge import build, export, quantize
from convnext_edge.architecture import Architecture, NormKind
from convnext_edge.artifacts.artifact import Form
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import random_model
from convnext_edge.network.lowering import lower
from convnext_edge.onnx_graph.tracing import Graph, example_input, write_onnx
from convnext_edge.targets.openvino import OpenVINOSession

pytestmark = pytest.mark.slow

CHECKPOINT = Path(__file__).parents[1] / "fixtures" / "architectures" / "timm_zepto_rms_ols.pth"
RESOLUTION = 32
PLAIN = Architecture((1, 1), (16, 32), classes=5)
NORMS = 1 + 1 + 2 + 1  # of the stem, the downsampling layer, the blocks and the head
# How often each norm goes over its tensor in OpenVINO. LayerNorm: for the mean, the difference, its square,
# the mean of that, the quotient. simplenorm: difference and square in one. rmsnorm: no mean, no difference.
PASSES: dict[NormKind, dict[str, int]] = {
    "layernorm": {"Reduce": 2, "Eltwise": 3},
    "simplenorm": {"Reduce": 2, "Eltwise": 2},
    "rmsnorm": {"Reduce": 1, "Eltwise": 2},
}

OF_MOMENTS = 2  # passes of a norm for INT8 that take one number a pixel; one more takes all values


def written(form: Form, norm: NormKind, path: Path, opset: int | None = None) -> Path:
    model = random_model(replace(PLAIN, norm=norm, norm_bias=norm == "layernorm"), 0)
    lowered = lower(model, form, preprocessing=Preprocessing(resolution=RESOLUTION))
    images = example_input((3, RESOLUTION, RESOLUTION), "float32")
    write_onnx(lowered, images, path, Graph(["logits"], opset=opset))
    return path


def in_onnxruntime(model: Path, tmp_path: Path) -> Counter[str]:
    """The operators that run, before those that only some CPUs have."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def passes(model: Path) -> Counter[str]:
    with OpenVINOSession(model, threads=1) as session:
        return Counter(layer for layer, _ in session.kernels())


@pytest.mark.parametrize("opset", [17, 20])
def test_onnxruntime_fuses_rmsnorm(opset: int, tmp_path: Path) -> None:
    found = in_onnxruntime(written("linear", "rmsnorm", tmp_path / "model.onnx", opset), tmp_path)
    assert found["SimplifiedLayerNormalization"] == NORMS
    assert found.keys().isdisjoint({"Pow", "Sqrt", "Div", "LayerNormalization"})


def test_onnxruntime_reorders_no_more_for_simplenorm_than_for_layernorm(tmp_path: Path) -> None:
    found = in_onnxruntime(written("linear", "simplenorm", tmp_path / "simple.onnx"), tmp_path)
    plain = in_onnxruntime(written("linear", "layernorm", tmp_path / "plain.onnx"), tmp_path)
    assert plain["LayerNormalization"] == found["Sqrt"] == NORMS
    assert found["Transpose"] == plain["Transpose"]


@pytest.mark.parametrize("norm", PASSES)
def test_openvino_goes_over_a_tensor_no_more_often_than_the_norm_needs(
    norm: NormKind, tmp_path: Path
) -> None:
    found = passes(written("conv", norm, tmp_path / "model.onnx"))
    pooling = {"Reduce": 1}
    for kind, count in PASSES[norm].items():
        assert found[kind] == NORMS * count + pooling.get(kind, 0), kind


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def int8(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """timm's zepto_rms_ols, made small, in INT8: simplenorm behind an overlapping stem."""
    workspace = tmp_path_factory.mktemp(request.param)
    start = export(
        checkpoint=CHECKPOINT,
        resolution=RESOLUTION,
        target=request.param,
        norm="simplenorm",
        workspace=workspace,
    )
    recipe = workspace / "quick.toml"
    recipe.write_text('rounding = "nearest"\n')  # the codes differ, the kernels are the same
    made = quantize(
        start.artifact,
        calib=str(photos),
        samples=2,
        target=request.param,
        recipe=recipe,
        timing=False,
        workspace=workspace,
        min_calibration_sqnr=0,
    )
    return made.artifact


def products_of(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The convolutions and products of matrices, without sums with weights, which multiply by a column."""
    columns = {tensor.name for tensor in model.graph.initializer if [*tensor.dims][2:] == [1]}
    found = [node for node in model.graph.node if node.op_type in ("Conv", "MatMul")]
    return [node for node in found if node.op_type == "Conv" or node.input[1] not in columns]


def test_all_products_but_those_that_stay_float_run_in_int8(int8: Path, tmp_path: Path) -> None:
    multiplications = products_of(onnx.load(int8))
    depthwise = [node for node in multiplications if "dwconv" in node.name]
    products = len(multiplications) - len(depthwise)
    if "openvino" in int8.name:
        with OpenVINOSession(int8, threads=1) as session:
            found = session.kernels()
        kinds = [kind for layer, kind in found if layer == "Convolution"]
        quantized = [kind for kind in kinds if kind.upper().endswith("_I8")]
        assert len(quantized) == products - 2, "all but the stem's first convolution and the head"
        norms = 1 + 3 + len(depthwise) + 1
        # The weight of the stem's norm is multiplied apart, for each of its two readers. The residual sums
        # are in the kernels of the convolutions.
        passes = norms * (OF_MOMENTS + 1) + 2
        assert Counter(layer for layer, _ in found)["Eltwise"] == passes
    else:
        engine = build(int8, workspace=tmp_path).engine
        operators = Counter(node.op_type for node in onnx.load(engine).graph.node)
        assert operators["MatMulIntegerToFloat"] == products - 3
        assert operators["Conv"] == len(depthwise) + 2, "the stem: no convolution of INT8 gives floats"
        sums = 2 * len(depthwise)  # of simplenorm behind a depthwise convolution: with weights
        assert operators["MatMul"] == 1 + sums, "the head"
        apart = 1 + 3 + 1  # norms of the stem, the downsampling layers and the head
        assert operators["ReduceL2"] == apart
