"""A detector goes the whole way: exported, quantized, validated, and shown pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from support.detectors import CHECKPOINT, SETTINGS, SIZE
from support.image_sets import save_tiles
from support.needs import package

from convnext_edge import export, finetune, predict, quantize, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.embed.bundle import check_images
from convnext_edge.commands.export import Export
from convnext_edge.errors import CheckpointError, ExportError, TargetError, UsageError
from convnext_edge.evaluation.detections import match
from convnext_edge.images.objects import split
from convnext_edge.targets.registry import find_target

pytestmark = pytest.mark.slow(seconds=60)
FIXTURES = Path(__file__).parents[1] / "fixtures" / "detection"
OUTPUTS = ("boxes", "labels", "scores", "masks")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(8):
        save_tiles(folder / f"{number}.png", random, (150, 100))
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export(
        checkpoint=CHECKPOINT,
        resolution=SIZE,
        workspace=tmp_path_factory.mktemp("workspace"),
        **SETTINGS,
    )


@pytest.fixture(scope="module")
def int8(exported: Export, photos: Path) -> Path:
    """An INT8 graph for OpenVINO."""
    made = quantize(exported.artifact, calib=photos, timing=False, workspace=exported.artifact.parent)
    assert made.passed
    heads = {name for name in made.quantized_layers if name.startswith("decoder.")}
    assert {"decoder.fpn.0", "decoder.rpn.conv.4", "decoder.box.fc1", "decoder.mask.upsample"} <= heads
    return made.artifact


def test_an_export_says_what_it_answers_and_assumes(exported: Export) -> None:
    assert (exported.task, exported.outputs, exported.classes) == ("detect", OUTPUTS, 4)
    shapes = {
        output.name: [axis.dim_param or axis.dim_value for axis in output.type.tensor_type.shape.dim]
        for output in onnx.load(exported.artifact).graph.output
    }
    assert shapes == {
        "boxes": ["batch", 12, 4],
        "labels": ["batch", 12],
        "scores": ["batch", 12],
        "masks": ["batch", 12, 28, 28],
    }
    assert "anchors and overlaps as in torchvision" in exported.assumed
    assert "padded to the right and below with 124 116 104" in exported.images
    prepared = open_artifact(exported.artifact).description.preprocessing
    assert (prepared.resize_mode, prepared.interpolation, prepared.size) == ("corner", "bilinear", SIZE)


def test_the_graph_has_only_operators_of_onnx(exported: Export) -> None:
    model = onnx.load(exported.artifact)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    kinds = {node.op_type for node in model.graph.node}
    assert {"RoiAlign", "NonMaxSuppression", "TopK"} <= kinds
    assert not model.functions


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("count", [1, 3])
def test_the_detections_of_both_runtimes_are_those_of_torchvision(
    runtime: str, count: int, exported: Export
) -> None:
    told = np.load(FIXTURES / "torchvision_maskrcnn.npz")
    others = np.random.default_rng(0).normal(size=(count - 1, 3, *SIZE)).astype(np.float32)
    with find_target(runtime).open_session(open_artifact(exported.artifact)) as session:
        found = split(session.run_all(np.concatenate([others, told["input"]])))[-1]
    (expected,) = split([told[name][None] for name in ("boxes", "labels", "scores", "masks")])
    pairs = match(found, expected)
    assert [(i, j) for i, j, _ in pairs] == [(i, i) for i in range(12)]
    assert min(iou for *_, iou in pairs) > 0.999
    assert np.abs(found.scores - told["scores"]).max() < 1e-4


def test_layers_whose_answers_choose_boxes_stay_float(int8: Path) -> None:
    found = {name for name in open_artifact(int8).description.float_layers if name.startswith("decoder.")}
    assert found == {f"decoder.rpn.objectness+deltas.{level}" for level in range(5)}


def test_int8_is_validated_by_what_both_models_find(int8: Path, photos: Path) -> None:
    found = validate(int8, data=photos, min_agreement=0.7, workspace=int8.parent)
    assert found.task == "detect"
    assert found.passed
    assert found.metrics["detections"]
    assert (found.metrics["box_iou"] or 0) > 0.8
    assert (found.sqnr_db or 0) > 15
    assert found.reference_top1 is None


def test_pictures_are_answered_with_objects_in_their_own_pixels(
    int8: Path, photos: Path, tmp_path: Path
) -> None:
    found = predict(
        int8, [photos / "0.png", photos / "1.png"], threshold=0.2, maps=tmp_path, workspace=int8.parent
    )
    told = found.to_json()["predictions"]
    assert [Path(row["picture"]).name for row in told] == ["0.png", "1.png"]
    assert sum(len(row["objects"]) for row in told) > 0
    for row in told:
        for each in row["objects"]:
            left, top, width, height = each["bbox"]
            assert min(left, top, width, height) >= 0
            assert left + width <= 150.01
            assert top + height <= 100.01
            assert each["segmentation"]["size"] == [100, 150]
            assert each["score"] > 0.2
        with Image.open(row["overlay"]) as overlay:
            assert overlay.size == SIZE[::-1]


def test_average_precision_is_told_by_annotations(exported: Export, photos: Path, tmp_path: Path) -> None:
    """Where the objects are those that the reference finds, its own AP is 1, and so is that of FP32 ONNX."""
    package("pycocotools", "pip install 'convnext-edge[coco]'")
    found = predict(
        exported.weights, photos, threshold=0.0, target="torch", workspace=exported.artifact.parent
    )
    pictures = [{"id": n + 1, "file_name": f"{n}.png", "width": 150, "height": 100} for n in range(8)]
    objects = [
        {
            "image_id": n + 1,
            "category_id": each.index,
            "bbox": list(each.bbox),
            "segmentation": each.segmentation,
        }
        for n, row in enumerate(found.predictions)
        for each in row.objects
    ]
    categories = [{"id": number, "name": f"class {number}"} for number in (1, 2, 3)]
    content = {"images": pictures, "annotations": objects, "categories": categories}
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "annotations.json").write_text(json.dumps(content))
    space = exported.artifact.parent
    judged = validate(
        exported.artifact, data=tmp_path / "photos", max_drop=0.5, target="onnxruntime", workspace=space
    )
    assert judged.passed
    for name in ("box_ap", "mask_ap"):
        assert judged.metrics[f"{name}_reference"] == pytest.approx(1, abs=0.01)
        assert judged.metrics[name] == pytest.approx(1, abs=0.01)
    objects[:] = [{**each, "bbox": [0, 0, 1, 1]} for each in objects]
    (tmp_path / "photos" / "annotations.json").write_text(json.dumps(content))
    wrong = validate(exported.artifact, data=tmp_path / "photos", target="onnxruntime", workspace=space)
    assert wrong.metrics["box_ap"] == pytest.approx(0, abs=0.01)


def test_what_nobody_tried_is_refused_by_name(
    exported: Export, int8: Path, photos: Path, tmp_path: Path
) -> None:
    weights, space = exported.weights, exported.artifact.parent
    with pytest.raises(UsageError, match="not yet with those of task detect"):
        check_images(open_artifact(int8), "triton")
    with pytest.raises(UsageError, match="does not take task detect"):
        finetune(exported.artifact, train=photos, workspace=space)
    with pytest.raises(TargetError, match="ort-mobile does not take task detect"):
        export(checkpoint=weights, target="ort-mobile", workspace=space)
    with pytest.raises(TargetError, match="torch does not take task detect"):
        predict(exported.artifact, photos, target="torch", workspace=space)
    with pytest.raises(ExportError, match="has anchors all over the image"):
        export(checkpoint=weights, dynamic_size=True, workspace=space)
    with pytest.raises(ExportError, match="opset 17 is too early"):
        export(checkpoint=weights, opset=17, workspace=space)


def test_how_objects_are_found_can_be_changed_later(exported: Export, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--proposals is of a detector"):
        export(
            checkpoint=FIXTURES.parent / "checkpoints" / "torchvision_v1.pth", proposals=3, workspace=tmp_path
        )
    again = export(checkpoint=exported.weights, max_detections=3, workspace=tmp_path)
    assert onnx.load(again.artifact).graph.output[0].type.tensor_type.shape.dim[1].dim_value == 3
    detection = open_artifact(again.artifact).description.architecture.detection
    assert detection is not None
    assert (detection.detections, detection.proposals) == (3, 60)
