"""--opset: kept from the export to the engine, told by names of files, refused where it lacks a type."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
from support.int8_graphs import BLOCKS, MULTIPLICATIONS
from support.models import CHECKPOINT, RESOLUTION, Models

from convnext_edge import build, export, quantize
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import RecipeError, UsageError
from convnext_edge.onnx_graph.lookup import consumers, producer
from convnext_edge.onnx_graph.opset import opset_of


def opset_in(path: Path) -> int:
    return opset_of(onnx.load(path))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in opset 17."""
    workspace = tmp_path_factory.mktemp("opset")
    made = export(checkpoint=CHECKPOINT, resolution=RESOLUTION, opset=17, workspace=workspace)
    assert made.opset == 17
    return made.artifact


@pytest.mark.slow
def test_an_opset_is_in_the_name_and_the_sidecar_and_no_other_file_is_replaced(
    models: Models, old: Path
) -> None:
    assert (old.name, opset_in(old)) == ("timm_v1-opset17.onnx", 17)
    assert open_artifact(old).description.opset == 17
    usual = models.exported()
    assert (usual.name, opset_in(usual)) == ("timm_v1.onnx", 20)
    assert open_artifact(usual).description.opset is None


@pytest.mark.slow
def test_what_is_quantized_keeps_the_opset_and_all_that_is_fused(photos: Path, old: Path) -> None:
    made = quantize(
        old, calib=str(photos), samples=4, target="onnxruntime", timing=False, workspace=old.parent
    )
    assert (made.artifact.name, opset_in(made.artifact)) == ("timm_v1-int8-onnxruntime-opset17.onnx", 17)
    assert made.calibration_sqnr_db is not None
    assert made.calibration_sqnr_db > 20
    engine = build(made.artifact, workspace=old.parent).engine
    assert engine.name == "timm_v1-int8-onnxruntime-opset17.opt.onnx"
    runs = Counter(node.op_type for node in onnx.load(engine).graph.node)
    assert (runs["Gelu"], runs["Erf"]) == (len(BLOCKS), 0)
    assert runs["MatMulIntegerToFloat"] == len(MULTIPLICATIONS) - 1, "all but the head's"


@pytest.mark.slow
def test_an_engine_of_fp32_is_made_from_a_graph_in_the_same_opset(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    engine = open_artifact(build(old, target="onnxruntime", workspace=old.parent).engine)
    assert engine.path.name == "timm_v1-onnxruntime-opset17.opt.onnx"
    assert engine.description.parent is not None
    assert engine.description.parent.name == "timm_v1-onnxruntime-opset17.onnx"
    assert opset_in(old.with_name(engine.description.parent.name)) == 17
    assert "exporting timm_v1 at 64 in opset 17" in caplog.messages


@pytest.mark.slow
def test_a_method_that_quantizes_sums_and_products_leaves_gelu_float(
    models: Models, photos: Path, tmp_path: Path
) -> None:
    options = {"samples": 2, "method": "ort", "target": "onnxruntime", "timing": False}
    output = tmp_path / "int8.onnx"
    made = quantize(models.exported(), calib=str(photos), opset=17, output=output, **options)  # type: ignore[arg-type]
    model = onnx.load(made.artifact)
    assert opset_of(model) == 17, "--opset goes before that of the model"
    errors = [node for node in model.graph.node if node.op_type == "Erf"]
    assert len(errors) == len(BLOCKS)
    for node in errors:
        inner = producer(model, node.input[0])
        assert inner is not None
        assert inner.op_type == "Div"
        assert [user.op_type for user in consumers(model, node.output[0])] == ["Add"]


@pytest.mark.parametrize("recipe", ['activation = "uint16"', 'sixteen_bit = ["head"]'])
def test_sixteen_bits_are_refused_with_the_first_opset_that_has_them(
    models: Models, photos: Path, tmp_path: Path, recipe: str
) -> None:
    file = tmp_path / "wide.toml"
    file.write_text(recipe)
    with pytest.raises(RecipeError, match="opset 20 has no activations of 16 bits") as caught:
        quantize(models.exported(), calib=str(photos), target="onnxruntime", recipe=file, opset=20)
    assert "--opset 21 or later" in str(caught.value.hint)


@pytest.mark.parametrize("opset", [16, 23])
def test_other_opsets_are_wrong_usage(opset: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="opset"):
        export(checkpoint=CHECKPOINT, opset=opset, workspace=tmp_path)
    assert not list(tmp_path.iterdir())
