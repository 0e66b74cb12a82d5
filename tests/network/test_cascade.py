"""Cascade Mask R-CNN against what NumPy makes of the same tensors; its size beside the paper's."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.cascades import Found, Kind, by_hand, checkpoint_of, state_of
from torch import Tensor

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.detection import Cascade, Detection
from convnext_edge.images.objects import split
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.conv_norm import BatchNorm
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.lowering import LAYER_FACTORIES, LoweredConvNeXt, lower
from convnext_edge.network.mask_rcnn import BOX_WEIGHTS, Look, MaskRCNN, mean

SIZE = (96, 128)  # rows and columns of the image
SCORE = 0.1
SETTINGS = Traits(candidates=60, proposals=30, score_threshold=SCORE, max_detections=100)
KINDS = {"of the authors": Kind(), "agnostic": Kind(convs=0, linears=2, agnostic=True)}
# Billions of multiply-adds at 1280 x 800 (table 3, arXiv:2201.03545), and millions of parameters
# (object_detection/README.md of the authors)
PUBLISHED = {
    "tiny": (741, 86),
    "small": (827, 108),
    "base": (964, 146),
    "large": (1354, 255),
    "xlarge": (1898, 407),
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture(scope="module")
def model(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> ConvNeXt:
    path = tmp_path_factory.mktemp("cascade") / "cascade.pth"
    torch.save(checkpoint_of(state_of(kind)), path)
    return load_checkpoint(path, SETTINGS).model


@pytest.fixture(scope="module")
def told(kind: Kind, model: ConvNeXt) -> Found:
    """What NumPy finds in the image, of the levels and the proposals of the model."""
    x, maps = model.stem(image()), []
    with torch.inference_mode():
        for index, stage in enumerate(model.stages):
            x = stage(x)
            maps.append(model.map_norms[str(index)](x))
        levels = model.decoder.pyramid(maps)
        proposals, real = model.decoder.propose(levels, SIZE)
    of_image = [level[0].double().numpy() for level in levels[:4]]
    found = by_hand(state_of(kind), of_image, proposals[real].double().numpy(), SIZE, SCORE)
    assert len(found.boxes) > 10
    assert len(set(found.labels)) > 1
    return found


def image() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(1, 3, *SIZE)).astype(np.float32))


@pytest.mark.parametrize("form", [None, "plain", *LAYER_FACTORIES])
def test_every_form_finds_what_numpy_finds(form: str | None, model: ConvNeXt, told: Found) -> None:
    prepared = Preprocessing(SIZE[0], 1.0, width=SIZE[1])
    lowered = model if form is None else lower(model, form, preprocessing=prepared)  # type: ignore[arg-type]
    assert form is None or not any(isinstance(module, BatchNorm) for module in lowered.modules())
    with torch.inference_mode():
        (found,) = split([output.numpy() for output in lowered(image())])
    assert found.labels.tolist() == told.labels.tolist()
    assert np.abs(found.boxes - told.boxes).max() < 1e-3
    assert np.abs(found.scores - told.scores).max() < 1e-4
    assert np.abs(found.masks - told.masks).max() < 1e-4


def test_refined_boxes_by_hand(kind: Kind, model: ConvNeXt) -> None:
    """Of the likeliest class but the background, in the parts of the second head."""
    boxes = torch.tensor([[[10.0, 20.0, 30.0, 60.0]]])  # 20 wide, 40 high, centre (20, 40)
    logits = torch.tensor([[[1.0, 3.0, 2.0, 9.0]]])
    wanted = [2.0, -4.0, float(np.log(2) / 0.1), 0.0]
    deltas = torch.tensor([[wanted]] if kind.agnostic else [[[9.0] * 4, wanted, [8.0] * 4]])[None]
    deltas = deltas.view(1, 1, -1, 4)
    found = model.decoder.refine(Look(boxes, logits, deltas), BOX_WEIGHTS[1], SIZE)
    # the centre goes 2 * 0.05 * 20 to the right and 4 * 0.05 * 40 up; the width doubles
    assert found[0, 0].tolist() == pytest.approx([2, 12, 42, 52])


def test_the_mean_of_what_heads_answer_by_hand() -> None:
    found = mean([torch.tensor([0.0, 3.0]), torch.tensor([3.0, 0.0]), torch.tensor([0.0, 6.0])])
    assert found.tolist() == [1.0, 3.0]


@pytest.mark.parametrize("name", LAYER_FACTORIES)
def test_each_head_has_layers_of_its_own(name: str, model: ConvNeXt, kind: Kind) -> None:
    lowered = lower(model, name, preprocessing=Preprocessing(SIZE[0], 1.0, width=SIZE[1]))  # type: ignore[arg-type]
    assert isinstance(lowered, LoweredConvNeXt)
    layers = lowered.layers()
    of_first = [name for name in layers if name.startswith("decoder.box.0.")]
    convs = [f"decoder.box.0.convs.{number}" for number in range(kind.convs)]
    linears = [f"decoder.box.0.fc{number + 1}" for number in range(kind.linears)]
    assert of_first == [*convs, *linears, "decoder.box.0.classes", "decoder.box.0.deltas"]
    heads = [name for name in layers if re.match(r"decoder\.(box|mask)\.", name)]
    assert len(heads) == 3 * (len(of_first) + 6)
    assert all(layers[conv].pieces == 30 for conv in convs)
    assert layers["decoder.mask.2.upsample"].pieces == 100
    # ONNX Runtime has no INT8 convolution that gives floats
    assert all(layers[linear].has_int8_kernel for linear in linears)
    assert {layers[conv].has_int8_kernel for conv in convs} <= {LAYER_FACTORIES[name].int8_convolutions}


def test_the_boxes_that_heads_look_at_can_be_given(model: ConvNeXt) -> None:
    """So that a model whose layers answer a little otherwise can be compared value by value."""
    maps = [
        torch.randn(1, dim, 96 // stride, 128 // stride)
        for dim, stride in ((8, 4), (8, 8), (16, 16), (16, 32))
    ]
    assert isinstance(model.decoder, MaskRCNN)
    with torch.inference_mode():
        exact, known = model.decoder.dense(maps, SIZE)
        again, _ = model.decoder.dense(maps, SIZE, known)
        moved = known._replace(proposals=(*known.proposals[:2], known.proposals[2] + 5))
        other, _ = model.decoder.dense(maps, SIZE, moved)
    assert len(exact) == 2 + 3 * 2 + 3
    assert all(torch.equal(one, two) for one, two in zip(exact, again, strict=True))
    changed = [number for number, pair in enumerate(zip(exact, other, strict=True)) if not torch.equal(*pair)]
    assert changed == [6, 7]  # logits and offsets of the third head


def published(size: str) -> Architecture:
    bare = replace(SIZES[size], classes=80, last_norm=False, pooled=False, maps=(0, 1, 2, 3))
    heads = replace(bare, map_norms=(0, 1, 2, 3), decoder="mask_rcnn", decoder_width=256, box_width=1024)
    cascade = Cascade(convs=4, linears=1, agnostic=False)
    return replace(heads, mask_width=256, cascade=cascade, detection=Detection("mmdetection"))


@pytest.mark.parametrize("size", PUBLISHED)
def test_multiply_adds_and_parameters_are_the_papers(size: str) -> None:
    macs, params = PUBLISHED[size]
    assert published(size).macs(800, 1280) / 1e9 == pytest.approx(macs, rel=0.002)
    assert round(published(size).params / 1e6) == params


def test_the_module_has_the_tensors_that_are_counted() -> None:
    with torch.device("meta"):
        module = ConvNeXt(published("tiny"))
    state = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    assert state == published("tiny").shapes()
    assert sum(weight.numel() for weight in module.parameters()) == published("tiny").params
