"""A cascade goes the whole way as a Mask R-CNN does: exported, run by both runtimes, quantized, judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.cascades import SETTINGS, checkpoint_of, state_of
from support.image_sets import save_tiles

from convnext_edge import export, predict, quantize, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.commands.export import Export
from convnext_edge.evaluation.detections import match
from convnext_edge.evaluation.layer_costs import PartwiseRun
from convnext_edge.images.objects import split
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.lowering import LoweredConvNeXt, lower
from convnext_edge.targets.registry import find_target

pytestmark = pytest.mark.slow(seconds=60)
SIZE = (96, 128)  # rows and columns


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cascade") / "cascade.pth"
    torch.save(checkpoint_of(state_of()), path)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Export:
    return export(checkpoint=checkpoint, resolution=SIZE, workspace=checkpoint.parent, **SETTINGS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(4):
        save_tiles(folder / f"{number}.png", random, (128, 96))
    return folder


@pytest.fixture(scope="module")
def int8(exported: Export, photos: Path) -> Path:
    made = quantize(exported.artifact, calib=photos, timing=False, workspace=exported.artifact.parent)
    heads = {name for name in made.quantized_layers if name.startswith(("decoder.box.", "decoder.mask."))}
    for number in range(3):
        of_boxes = ("convs.0", "convs.1", "fc1", "classes", "deltas")
        of_masks = ("convs.0", "convs.1", "convs.2", "convs.3", "upsample", "classes")
        assert {f"decoder.box.{number}.{name}" for name in of_boxes} <= heads
        assert {f"decoder.mask.{number}.{name}" for name in of_masks} <= heads
    assert len(heads) == 3 * (5 + 6)
    return made.artifact


@pytest.fixture(scope="module")
def in_onnxruntime(exported: Export, photos: Path) -> Path:
    """INT8 for ONNX Runtime, whose heads multiply matrices, the layers that choose boxes aside."""
    made = quantize(
        exported.artifact,
        calib=photos,
        target="onnxruntime",
        timing=False,
        workspace=exported.artifact.parent,
    )
    kept = [name for name in made.float_layers if name.startswith("decoder.")]
    assert kept == [f"decoder.rpn.objectness+deltas.{level}" for level in range(5)]
    return made.artifact


def test_the_graph_has_standard_operators_and_no_batch_normalization(exported: Export) -> None:
    graph = onnx.load(exported.artifact).graph
    kinds = [node.op_type for node in graph.node]
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}
    assert "BatchNormalization" not in kinds
    assert kinds.count("RoiAlign") == 4 * (
        3 + 1
    )  # levels, times what the box heads and the mask heads look at
    assert [output.name for output in graph.output] == ["boxes", "labels", "scores", "masks"]
    shapes = [[axis.dim_value for axis in o.type.tensor_type.shape.dim][1:] for o in graph.output]
    assert shapes == [[20, 4], [20], [20], [20, 28, 28]]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("count", [1, 3])
def test_both_runtimes_find_what_the_reference_finds(
    runtime: str, count: int, exported: Export, checkpoint: Path
) -> None:
    """The reference is held against NumPy in `network/test_cascade.py`."""
    images = np.random.default_rng(1).normal(size=(3, 3, *SIZE)).astype(np.float32)[:count]
    settings = Traits(candidates=60, proposals=30, score_threshold=0.1, max_detections=20)
    with torch.inference_mode():
        outputs = load_checkpoint(checkpoint, settings).model(torch.from_numpy(images))
    expected = split([output.numpy() for output in outputs])
    with find_target(runtime).open_session(open_artifact(exported.artifact)) as session:
        found = split(session.run_all(images))
    for ours, theirs in zip(expected, found, strict=True):
        pairs = match(ours, theirs)
        assert len(pairs) == len(ours.boxes) == len(theirs.boxes) > 5
        assert min(iou for *_, iou in pairs) > 0.999
        for one, other, _ in pairs:
            assert abs(ours.scores[one] - theirs.scores[other]) < 1e-4
            assert np.abs(ours.masks[one] - theirs.masks[other]).max() < 1e-3


def test_int8_is_judged_and_shown_as_any_detector(int8: Path, photos: Path, tmp_path: Path) -> None:
    found = validate(int8, data=photos, workspace=int8.parent)
    assert found.task == "detect"
    assert found.metrics["detections"]
    assert (found.metrics["agreement"] or 0) > 0.6
    shown = predict(int8, [photos / "0.png"], threshold=0.2, maps=tmp_path, workspace=int8.parent)
    (row,) = shown.to_json()["predictions"]
    assert row["objects"]
    assert Path(row["overlay"]).is_file()


def test_int8_in_onnxruntime_finds_what_float_and_openvino_find(
    in_onnxruntime: Path, int8: Path, exported: Export, photos: Path
) -> None:
    """The weights are random, and scores lie close to each other: most objects are the same, not all."""
    judged = validate(in_onnxruntime, data=photos, workspace=in_onnxruntime.parent)
    assert judged.target == "onnxruntime"
    assert (judged.metrics["agreement"] or 0) > 0.8
    assert (judged.metrics["box_iou"] or 0) > 0.8
    assert min(judged.metrics[f"{output}_sqnr_db"] or 0 for output in ("boxes", "scores", "masks")) > 15
    prepared = open_artifact(exported.artifact).description.preprocessing
    (batch,) = open_image_set(photos).batches(prepared, batch=4, dtype="float32")
    engines = {"onnxruntime": in_onnxruntime, "openvino": int8, "float": exported.artifact}
    found = {}
    for name, path in engines.items():
        target = "onnxruntime" if name == "float" else name
        with find_target(target).open_session(open_artifact(path)) as session:
            found[name] = split(session.run_all(batch.images))
    count = sum(len(each.boxes) for each in found["onnxruntime"])
    assert count > 4 * 10
    for others in ("float", "openvino"):
        pairs = [match(*each) for each in zip(found["onnxruntime"], found[others], strict=True)]
        assert sum(map(len, pairs)) > count * 2 / 3


def test_sensitivity_tells_of_each_layer_by_the_answers_of_its_head(checkpoint: Path) -> None:
    """All heads look at the boxes of the exact model, so that a layer changes no answer but its own."""
    model = load_checkpoint(checkpoint, Traits(candidates=60, proposals=30, score_threshold=0.1)).model
    module = lower(model, "conv", preprocessing=Preprocessing(SIZE[0], 1.0, width=SIZE[1]))
    assert isinstance(module, LoweredConvNeXt)
    changed = {}
    with torch.inference_mode():
        chain = PartwiseRun(module, torch.ones(1, 3, *SIZE))
        first = min(chain.answers)
        for name, layer in module.layers().items():
            if name.startswith(("decoder.box.", "decoder.mask.")):
                before = layer.weight.clone()
                layer.weight.mul_(1.5)
                again = chain.rerun(layer)
                layer.weight.copy_(before)
                changed[name] = [n - first for n in again if not torch.equal(again[n], chain.answers[n])]
    # logits and offsets of anchors, those of each box head, and the masks of each mask head
    assert changed.pop("decoder.box.0.classes") == [2]
    assert changed.pop("decoder.box.2.deltas") == [7]
    assert all(found == [8 + int(name[13])] for name, found in changed.items() if ".mask." in name)
    assert changed["decoder.box.1.convs.0"] == changed["decoder.box.1.fc1"] == [4, 5]
    assert len(changed) == 3 * (5 + 6) - 2
