"""A segmenter goes the whole way: exported, quantized, built, validated, and shown pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from support.image_sets import save_tiles
from torch.nn import functional as F

from convnext_edge import build, export, finetune, predict, quantize, sensitivity, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.commands.export import Export
from convnext_edge.errors import ExportError, TargetError, UsageError
from convnext_edge.images.label_maps import SUFFIX
from convnext_edge.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from convnext_edge.targets.registry import find_target

pytestmark = pytest.mark.slow(seconds=60)
FIXTURES = Path(__file__).parents[1] / "fixtures" / "segmentation"
SIZE = (96, 160)  # rows and columns of the fixture's input
CLASSES = 7


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with label maps, of which 0 is no class."""
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for folder in ("images", "annotations"):
        (root / folder).mkdir()
    for number in range(8):
        save_tiles(root / "images" / f"{number}.jpg", random, (150, 100))
        codes = Image.fromarray(random.integers(0, CLASSES + 1, (3, 4), np.uint8))
        codes.resize((150, 100), Image.Resampling.NEAREST).save(root / "annotations" / f"{number}{SUFFIX}")
    return root


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    workspace = tmp_path_factory.mktemp("workspace")
    return export(checkpoint=FIXTURES / "hf_upernet", resolution=SIZE, label_zero="none", workspace=workspace)


@pytest.fixture(scope="module")
def int8(exported: Export, photos: Path) -> Path:
    """An INT8 graph for OpenVINO."""
    made = quantize(exported.artifact, calib=photos, timing=False, workspace=exported.artifact.parent)
    assert made.passed
    decoder = {name for name in made.quantized_layers if name.startswith("decoder.")}
    assert {"decoder.fpn_bottleneck", "decoder.bottleneck", "decoder.fpn.0"} <= decoder
    assert made.calibration_sqnr_db is not None
    assert made.calibration_sqnr_db > 30
    return made.artifact


def test_an_export_says_what_it_answers(exported: Export) -> None:
    assert (exported.task, exported.outputs, exported.classes) == ("segment", ("logits",), CLASSES)
    (output,) = onnx.load(exported.artifact).graph.output
    shape = [axis.dim_param or axis.dim_value for axis in output.type.tensor_type.shape.dim]
    assert (output.name, shape) == ("logits", ["batch", CLASSES, *SIZE])
    described = open_artifact(exported.artifact).description
    assert (described.task, described.preprocessing.label_zero) == ("segment", "none")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("opset", [17, 20])
def test_the_logits_of_both_runtimes_are_those_of_transformers(
    runtime: str, opset: int, exported: Export
) -> None:
    made = exported.artifact
    if opset != exported.opset:
        weights, folder = exported.weights, made.parent
        made = export(checkpoint=weights, opset=opset, output=folder / "old.onnx", workspace=folder).artifact
    images = np.load(FIXTURES / "hf_upernet.wide.input.npy").astype(np.float32)
    expected = np.load(FIXTURES / "hf_upernet.wide.logits.npy")
    with find_target(runtime).open_session(open_artifact(made)) as session:
        found = session.run(np.concatenate([images, images]))  # the batch is dynamic
    assert found.shape == (2, *expected.shape[1:])
    assert np.abs(found - expected).max() < 1e-4 * expected.std()


def test_an_int8_engine_is_validated_by_its_pixels(int8: Path, photos: Path) -> None:
    engine = build(int8, workspace=int8.parent).engine
    found = validate(
        engine, data=photos / "images", min_agreement=0.9, max_drop=3, min_sqnr=25, workspace=int8.parent
    )
    assert found.gates == ("drop", "agreement", "sqnr")
    assert set(found.metrics) == {"agreement", "miou_reference", "miou", "drop_points"}
    assert (found.metrics["agreement"] or 0) > 0.95
    assert (found.agreement, found.reference_top1) == (None, None)
    assert "mIoU reference" in found.summary()


def test_onnxruntime_multiplies_the_decoder_in_int8_too(exported: Export, photos: Path) -> None:
    folder = exported.artifact.parent
    made = quantize(
        exported.artifact, calib=photos, samples=4, target="onnxruntime", timing=False, workspace=folder
    )
    assert not any(name.startswith("decoder.") for name in made.float_layers)
    graph = onnx.load(made.artifact).graph
    # maps are codes before they are unfolded, those of all convolutions over neighbours
    makers = {name: node.op_type for node in graph.node for name in node.output}
    padded = [makers[node.input[0]] for node in graph.node if node.op_type == "Pad"]
    assert padded == ["QuantizeLinear"] * 5
    engine = build(made.artifact, workspace=folder).engine
    products = {node.name for node in onnx.load(engine).graph.node if node.op_type == "MatMulIntegerToFloat"}
    assert {name for name in made.quantized_layers if name.startswith("decoder.")} <= products
    assert validate(engine, data=photos, min_agreement=0.9, min_sqnr=25, workspace=folder).passed


def test_layers_of_the_decoder_are_ranked_with_the_others(exported: Export, photos: Path) -> None:
    ranked = sensitivity(exported.artifact, calib=photos, samples=2, workspace=exported.artifact.parent)
    costs = {layer.name: layer.sqnr_db for layer in ranked.layers}
    assert {"stages.0.blocks.0.pwconv1", "decoder.laterals.0", "decoder.classifier"} <= set(costs)
    assert all(cost is not None and cost > 20 for cost in costs.values())


def test_label_maps_and_overlays_are_drawn(int8: Path, photos: Path, tmp_path: Path) -> None:
    picture = photos / "images" / "1.jpg"
    found = predict(int8, picture, maps=tmp_path / "maps", workspace=int8.parent)
    (row,) = found.predictions
    assert sum(area.share for area in row.classes) == pytest.approx(1, abs=1e-4)
    assert row.label_map is not None
    assert row.overlay is not None
    with Image.open(row.label_map) as drawn:
        classes = np.asarray(drawn)
        assert (drawn.mode, drawn.size) == ("P", SIZE[::-1])
        assert drawn.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]  # of Pascal VOC
    np.testing.assert_array_equal(classes, found.outputs["logits"][0].argmax(0))
    index = row.classes[0].index
    assert row.classes[0].share == pytest.approx((classes == index).mean(), rel=1e-4)
    with Image.open(row.overlay) as drawn, Image.open(picture) as original:
        seen = original.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)
        pure = np.asarray(drawn, float)[classes == 0] * 2  # half black
        if pure.size:
            assert np.abs(pure - np.asarray(seen)[classes == 0]).mean() < 4
    again = predict(int8, picture, maps=tmp_path / "maps", workspace=int8.parent)
    assert again.predictions[0].label_map == row.label_map
    assert found.to_json()["predictions"][0]["label_map"] == str(row.label_map)


def slid_over(picture: Path) -> NDArray[np.int64]:
    """The classes of a picture's pixels by windows, computed by PyTorch as mmsegmentation does it."""
    (rows, columns), model = SIZE, load_checkpoint(FIXTURES / "hf_upernet").model
    image = Image.open(picture).convert("RGB")
    scale = max(rows / image.height, columns / image.width)
    height, width = (int(edge * scale + 0.5) for edge in (image.height, image.width))
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = ((torch.from_numpy(resized.copy()).permute(2, 0, 1) / 255 - mean) / std)[None].float()
    total, count = torch.zeros(1, CLASSES, height, width), torch.zeros(1, 1, height, width)
    down, across = rows * 2 // 3, columns * 2 // 3
    for i in range(max(height - rows + down - 1, 0) // down + 1):
        for j in range(max(width - columns + across - 1, 0) // across + 1):
            bottom, right = min(i * down + rows, height), min(j * across + columns, width)
            place = (..., slice(bottom - rows, bottom), slice(right - columns, right))
            with torch.inference_mode():
                total[place] += model(pixels[place])
            count[place] += 1
    whole = F.interpolate(total / count, (image.height, image.width), mode="bilinear")
    return whole[0].argmax(0).numpy()


@pytest.fixture(scope="module")
def long_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of other proportions than the model's, with label maps of their size."""
    root, random = tmp_path_factory.mktemp("long"), np.random.default_rng(1)
    for folder in ("images", "annotations"):
        (root / folder).mkdir()
    for name, size in (("tall", (70, 210)), ("wide", (400, 90))):
        save_tiles(root / "images" / f"{name}.png", random, size)
        codes = Image.fromarray(random.integers(0, CLASSES + 1, (3, 4), np.uint8))
        codes.resize(size, Image.Resampling.NEAREST).save(root / "annotations" / f"{name}{SUFFIX}")
    return root


def test_windows_slide_over_pictures_as_in_the_tables_of_ade20k(
    exported: Export, long_photos: Path, tmp_path: Path
) -> None:
    pictures = sorted((long_photos / "images").iterdir())
    expected = [slid_over(picture) for picture in pictures]
    found = predict(
        exported.artifact,
        pictures,
        sliding_window=True,
        maps=tmp_path / "maps",
        workspace=exported.artifact.parent,
    )
    for row, picture, classes in zip(found.predictions, pictures, expected, strict=True):
        assert row.label_map is not None
        assert row.overlay is not None
        with Image.open(row.label_map) as drawn, Image.open(row.overlay) as overlay:
            assert overlay.size == Image.open(picture).size
            # windows of both, which differ by rounding
            assert (np.asarray(drawn) == classes).mean() > 0.999
        assert row.classes[0].share == pytest.approx((classes == row.classes[0].index).mean(), abs=1e-3)
    told = validate(
        exported.artifact, data=long_photos, sliding_window=True, workspace=exported.artifact.parent
    )
    maps = [np.asarray(Image.open(path)) for path in sorted((long_photos / "annotations").iterdir())]
    assert told.metrics["agreement"] == pytest.approx(1, abs=1e-3)
    assert told.metrics["miou_reference"] == pytest.approx(iou_by_sets(maps, expected), abs=2e-3)
    assert (told.data, told.sliding_window) == (f"{long_photos.name} by sliding windows", True)
    squashed = validate(exported.artifact, data=long_photos, workspace=exported.artifact.parent)
    assert squashed.metrics["miou_reference"] != told.metrics["miou_reference"]


def iou_by_sets(codes: list[NDArray[np.uint8]], classes: list[NDArray[np.int64]]) -> float:
    """The mean IoU over the classes of label maps, in which 0 is none and 1 the first class."""
    own, answered = (np.concatenate([part.ravel() for part in parts]) for parts in (codes, classes))
    known = own > 0
    pixels = np.arange(own.size)[known]
    of_label = [{*pixels[own[known] == index + 1]} for index in range(CLASSES)]
    of_answer = [{*pixels[answered[known] == index]} for index in range(CLASSES)]
    both = zip(of_label, of_answer, strict=True)
    return float(np.mean([len(a & b) / len(a | b) for a, b in both if a]))


def test_windows_are_refused_where_they_mean_nothing(exported: Export, photos: Path, tmp_path: Path) -> None:
    picture, place = photos / "images" / "1.jpg", exported.artifact.parent
    with pytest.raises(UsageError, match="--save holds outputs of one size, and those of --sliding-window"):
        predict(exported.artifact, picture, sliding_window=True, save=tmp_path / "a.npy", workspace=place)
    found = predict(exported.artifact, picture, sliding_window=True, workspace=place)
    with pytest.raises(UsageError, match="logits of windows that slide over pictures are not kept"):
        _ = found.outputs
    backbone = export(checkpoint=exported.weights, task="features", workspace=tmp_path).artifact
    said = "--sliding-window means nothing to a model of the task features"
    with pytest.raises(UsageError, match=said):
        predict(backbone, picture, sliding_window=True, workspace=tmp_path)
    with pytest.raises(UsageError, match=said):
        validate(backbone, data=photos, sliding_window=True, workspace=tmp_path)


def test_a_picture_of_somebody_else_is_not_replaced(int8: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "images" / "1.jpg", tmp_path / "1.labels.png")
    with pytest.raises(UsageError, match="would take the place of a file that predict did not write"):
        predict(int8, photos / "images" / "1.jpg", maps=tmp_path, workspace=int8.parent)


def test_what_does_not_take_the_task_refuses_it_by_name(int8: Path, exported: Export, photos: Path) -> None:
    folder = exported.artifact.parent
    for target in ("tensorrt", "tensorrt-rtx", "ort-mobile", "executorch", "litert", "coreml"):
        with pytest.raises(TargetError, match=f"target {target} does not take task segment"):
            find_target(target).check_task("segment")
    with pytest.raises(TargetError, match="target litert does not take task segment"):
        quantize(exported.artifact, calib=photos, target="litert", workspace=folder)
    with pytest.raises(TargetError, match="target coreml does not take task segment"):
        export(checkpoint=exported.weights, target="coreml", workspace=folder)
    with pytest.raises(UsageError, match="finetune does not take task segment"):
        finetune(exported.artifact, train=photos, steps=1, batch=2, samples=2, workspace=folder)
    with pytest.raises(ExportError, match="--dynamic-size: hf_upernet pools parts of the image"):
        export(checkpoint=exported.weights, dynamic_size=True, workspace=folder)
    with pytest.raises(UsageError, match="--task embed: this model has maps alone"):
        export(checkpoint=exported.weights, task="embed", workspace=folder)


def test_the_backbone_of_a_segmenter_gives_features(exported: Export, tmp_path: Path) -> None:
    made = export(checkpoint=exported.weights, task="features", workspace=tmp_path)
    assert made.outputs == ("map0", "map1", "map2", "map3")
    assert made.classes == 0
