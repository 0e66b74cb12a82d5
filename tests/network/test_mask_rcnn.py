"""Mask R-CNN against torchvision: pyramid, proposals, boxes, scores and masks; its size beside the paper's.

`tests/fixtures/detection` has torchvision 0.29's MaskRCNN on a small ConvNeXt with FPN, weights in half
precision, and what it answers to one image; roi_align.npz and nms.npz are what its operators answer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.checkpoints.variants import DEMO_DETECT
from convnext_edge.detection import Detection, Library
from convnext_edge.images.objects import paste, split
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.boxes import anchors_at, decode, nms, overlaps
from convnext_edge.network.convnext import ConvNeXt, random_model
from convnext_edge.network.lowering import LAYER_FACTORIES, LoweredConvNeXt, lower
from convnext_edge.network.mask_rcnn import MaskRCNN
from convnext_edge.network.remote_detector import RemoteMaskRCNN
from convnext_edge.network.roi_align import roi_align

FIXTURES = Path(__file__).parents[1] / "fixtures" / "detection"
SIZE = (96, 128)  # rows and columns of the image
SETTINGS = Traits(candidates=120, proposals=60, score_threshold=0.1, max_detections=12)
# Another model of torchvision's, with its usual widths, which is too large to be kept here.
LARGE = Path(__file__).parents[3] / "shared" / "fixtures" / "detection"
OF_LARGE = Traits(candidates=200, proposals=100, score_threshold=0.02, max_detections=20)
PAPER = 262  # billions of multiply-adds of Mask R-CNN on ConvNeXt-T at 1280 x 800: table 3, arXiv:2201.03545


@pytest.fixture(scope="module")
def model() -> ConvNeXt:
    return load_checkpoint(FIXTURES / "torchvision_maskrcnn.pth", SETTINGS).model


@pytest.fixture(scope="module")
def told() -> dict[str, np.ndarray]:
    return dict(np.load(FIXTURES / "torchvision_maskrcnn.npz"))


def check_detections(found: list[np.ndarray], told: dict[str, np.ndarray], size: tuple[int, int]) -> None:
    """Compare all detections of one image with torchvision's, the surest first."""
    (objects,) = split(found)
    assert len(objects.boxes) == len(told["boxes"]) > 10
    assert objects.labels.tolist() == told["labels"].tolist()
    iou = overlaps(torch.from_numpy(objects.boxes), torch.from_numpy(told["boxes"])).diagonal()
    assert iou.min() > 0.999
    assert np.abs(objects.scores - told["scores"]).max() < 1e-4
    for mask, box, expected in zip(objects.masks, objects.boxes, told["masks"][:, 0], strict=True):
        pasted = paste(mask, box, size[::-1])
        assert np.abs(pasted - expected).max() < 1e-4


def test_levels_and_proposals_are_those_of_torchvision(model: ConvNeXt, told: dict[str, np.ndarray]) -> None:
    assert isinstance(model.decoder, MaskRCNN)
    with torch.inference_mode():
        levels = model.decoder.pyramid(model.feature_maps(torch.from_numpy(told["input"]))[1])
        proposals, real = model.decoder.propose(levels, SIZE)
    for name, level in zip(("0", "1", "2", "3", "pool"), levels, strict=True):
        expected = told[f"level_{name}"]
        assert np.abs(level.numpy() - expected).max() < 1e-4 * expected.std()
    assert real.all()
    iou = overlaps(proposals[0], torch.from_numpy(told["proposals"])).diagonal()
    assert len(iou) == 60
    assert iou.min() > 0.999


@pytest.mark.parametrize("form", ["plain", *LAYER_FACTORIES])
def test_detections_are_those_of_torchvision_in_every_form(
    form: str, model: ConvNeXt, told: dict[str, np.ndarray]
) -> None:
    prepared = Preprocessing(SIZE[0], 1.0, width=SIZE[1])
    lowered = lower(model, form, preprocessing=prepared)  # type: ignore[arg-type]
    with torch.inference_mode():
        found = [output.numpy() for output in lowered(torch.from_numpy(told["input"]))]
    check_detections(found, told, SIZE)


@pytest.mark.skipif(not LARGE.is_dir(), reason=f"{LARGE} is not here")
def test_proposals_of_equal_scores_are_in_the_order_of_torchvision() -> None:
    model = load_checkpoint(LARGE / "torchvision_maskrcnn.pth", OF_LARGE).model
    told = dict(np.load(LARGE / "torchvision_maskrcnn.npz"))
    images = torch.from_numpy(told["resized"])
    size = (images.shape[2], images.shape[3])
    with torch.inference_mode():
        proposals, _ = model.decoder.propose(model.decoder.pyramid(model.feature_maps(images)[1]), size)
        found = [output.numpy() for output in model(images)]
    assert np.abs(proposals[0].numpy() - told["proposals"]).max() < 1e-3
    check_detections(found, told, size)


def test_an_image_of_a_batch_is_answered_as_alone(model: ConvNeXt, told: dict[str, np.ndarray]) -> None:
    one = torch.from_numpy(told["input"])
    other = one.flip(3)
    with torch.inference_mode():
        together, alone = model(torch.cat([other, one])), model(one)
    for both, single in zip(together, alone, strict=True):
        torch.testing.assert_close(both[1:], single, rtol=1e-4, atol=1e-4)


def test_where_nothing_is_found_all_places_say_so(model: ConvNeXt, told: dict[str, np.ndarray]) -> None:
    assert model.architecture.detection is not None
    strict = replace(model.architecture, detection=replace(model.architecture.detection, score=0.99))
    sure = ConvNeXt(strict).eval()
    sure.load_state_dict(model.state_dict())
    with torch.inference_mode():
        boxes, labels, scores, masks = sure(torch.from_numpy(told["input"]))
    assert (labels == -1).all()
    assert not any(output.any() for output in (boxes, scores, masks))


@pytest.mark.parametrize(
    ("name", "edge", "samples"), [("7_two", 7, 2), ("7_adaptive", 7, 0), ("14_adaptive", 14, 0)]
)
def test_roi_align_is_that_of_torchvision(name: str, edge: int, samples: int) -> None:
    told = np.load(FIXTURES / "roi_align.npz")
    features, boxes = torch.from_numpy(told["features"]), torch.from_numpy(told["boxes"])
    for image, x in enumerate(features):
        own = boxes[:, 0] == image
        found = roi_align(x, boxes[own, 1:], float(told["scale"]), edge, samples, aligned=True)
        np.testing.assert_allclose(found, told[f"out{name}"][own.numpy()], atol=1e-4)


def test_roi_align_by_hand() -> None:
    """A ramp of 0, 1, 2, ... along x: a cell of the box has the value at its middle, minus half a cell."""
    x = torch.arange(8.0).expand(1, 8, 8)
    box = torch.tensor([[4.0, 4.0, 20.0, 20.0]])  # cells 1 to 5 at a scale of 1/4
    aligned = roi_align(x, box, 0.25, 2, 2, aligned=True)[0, 0]
    assert aligned.tolist() == [[1.5, 3.5], [1.5, 3.5]]
    old = roi_align(x, box, 0.25, 2, 2, aligned=False)[0, 0]
    assert old[0].tolist() == [2.0, 4.0]


@pytest.mark.parametrize(("name", "overlap"), [("keep_05", 0.5), ("keep_07", 0.7)])
def test_nms_keeps_what_torchvision_keeps(name: str, overlap: float) -> None:
    told = np.load(FIXTURES / "nms.npz")
    found = nms(torch.from_numpy(told["boxes"]), torch.from_numpy(told["scores"]), overlap)
    assert found.tolist() == told[name].tolist()


def test_decoded_boxes_by_hand() -> None:
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])  # 20 wide, 40 high, centre (20, 40)
    deltas = torch.tensor([[1.0, -0.5, np.log(2) * 5, 100.0]])  # the last grows an edge 62.5 times at most
    found = decode(deltas, box, (10.0, 10.0, 5.0, 5.0))[0]
    assert found.tolist() == pytest.approx([22 - 20, 38 - 1250, 22 + 20, 38 + 1250])


def test_anchors_by_hand() -> None:
    found = anchors_at(torch.arange(12), 32, (16, 16), 2, "torchvision")  # of 2 x 2 places
    assert found.shape == (12, 4)
    assert found[1].tolist() == [-16, -16, 16, 16]
    assert found[0].tolist() == [-23, -11, 23, 11]  # 32 * sqrt(2) / 2 = 22.6, and 11.3
    assert (found[9:] - found[:3]).unique().tolist() == [16]
    exact = anchors_at(torch.arange(3), 32, (16, 16), 1, "mmdetection")
    assert exact[0].tolist() == pytest.approx([-22.627, -11.314, 22.627, 11.314], abs=1e-3)


def tiny() -> Architecture:
    bare = replace(SIZES["tiny"], classes=80, last_norm=False, pooled=False, maps=(0, 1, 2, 3))
    heads = replace(bare, map_norms=(0, 1, 2, 3), decoder="mask_rcnn", decoder_width=256)
    return replace(heads, box_width=1024, mask_width=256, detection=Detection("mmdetection"))


@pytest.mark.parametrize(("library", "top"), [("torchvision", 12 * 61 - 256), ("mmdetection", 12 * 64 - 256)])
def test_anchors_of_a_level_of_half_a_row_more_by_hand(library: Library, top: int) -> None:
    """Of 800 rows the last level has 13: mmdetection is told that they are 64 apart, torchvision divides.

    mmdetection's AnchorGenerator.single_level_grid_priors; torchvision's AnchorGenerator.forward.
    """
    architecture = replace(tiny(), detection=Detection(library, candidates=4, proposals=1))
    decoder = RemoteMaskRCNN(architecture, ask_boxes=lambda number, x: (x, x), ask_masks=lambda x: [x])
    sizes = [(800 // stride, 1344 // stride) for stride in (4, 8, 16, 32)] + [(13, 21)]
    logits = [torch.full((1, 3, *size), -10.0) for size in sizes]
    logits[-1][0, 1, 12, 20] = 10  # the square anchor of the last cell
    deltas = [torch.zeros(1, 12, *size) for size in sizes]
    levels = decoder.pyramid([*(torch.zeros(1, 1, *size) for size in sizes[:-1]), *logits, *deltas])
    boxes, _ = decoder.propose(levels, (800, 1344))
    assert boxes[0, 0].tolist() == [20 * 64 - 256, top, 1344, 800]


def test_multiply_adds_are_the_papers() -> None:
    assert tiny().macs(800, 1280) / 1e9 == pytest.approx(PAPER, rel=0.01)


def test_the_module_has_the_tensors_that_are_counted() -> None:
    with torch.device("meta"):
        module = ConvNeXt(tiny())
    assert {name: tuple(each.shape) for name, each in module.state_dict().items()} == tiny().shapes()
    assert sum(weight.numel() for weight in module.parameters()) == tiny().params


def test_each_level_has_layers_of_its_own(model: ConvNeXt) -> None:
    prepared = Preprocessing(SIZE[0], 1.0, width=SIZE[1])
    lowered = lower(model, "conv", preprocessing=prepared)
    assert isinstance(lowered, LoweredConvNeXt)
    names = list(lowered.layers())
    assert [name for name in names if name.startswith("decoder.rpn.conv")] == [
        f"decoder.rpn.conv.{level}" for level in range(5)
    ]
    pieces = {name: layer.pieces for name, layer in lowered.layers().items()}
    assert (pieces["decoder.fpn.0"], pieces["decoder.box.fc1"], pieces["decoder.mask.upsample"]) == (1, 1, 12)
    by_matrix = lower(model, "linear", preprocessing=prepared)
    assert isinstance(by_matrix, LoweredConvNeXt)
    assert by_matrix.layers()["decoder.box.fc1"].pieces == 60


@pytest.mark.parametrize("form", LAYER_FACTORIES)
def test_what_tells_proposals_is_one_layer_with_the_answers_of_two(form: str, model: ConvNeXt) -> None:
    lowered = lower(model, form, preprocessing=Preprocessing(SIZE[0], 1.0, width=SIZE[1]))  # type: ignore[arg-type]
    assert isinstance(lowered, LoweredConvNeXt)
    assert isinstance(lowered.decoder, MaskRCNN)
    assert isinstance(model.decoder, MaskRCNN)
    names = [name for name in lowered.layers() if name.startswith("decoder.rpn.") and ".conv." not in name]
    assert names == [f"decoder.rpn.objectness+deltas.{level}" for level in range(5)]
    level = torch.randn(2, model.architecture.decoder_width, 6, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, expected = lowered.decoder.rpn(level, 3), model.decoder.rpn(level, 3)
    assert [tuple(each.shape) for each in found] == [(2, 6 * 8 * 3), (2, 6 * 8 * 3, 4)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_random_weights_are_drawn_for_every_layer() -> None:
    """A layer that is passed over would hold what lay in memory."""
    one, again = (random_model(DEMO_DETECT.architecture, 0).state_dict() for _ in range(2))
    assert all(torch.equal(weight, again[name]) for name, weight in one.items())
    upsample = one["decoder.mask.upsample.weight"]  # (in, out, 2, 2)
    bound = 1 / upsample[0].numel() ** 0.5  # of PyTorch's ConvTranspose2d
    assert 0.9 * bound < upsample.abs().max() <= bound
    assert float(upsample.std()) == pytest.approx(bound / 3**0.5, rel=0.05)
