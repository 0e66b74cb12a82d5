"""What the demo's detector learns from: composed pictures, their objects, and the losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.places import ROOT

from convnext_edge.checkpoints.variants import DEMO_DETECT
from convnext_edge.images.objects import of_text
from convnext_edge.network.boxes import decode
from convnext_edge.network.convnext import random_model
from convnext_edge.network.mask_rcnn import BOX_WEIGHTS, MaskRCNN


@pytest.fixture(autouse=True)
def checkout_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def test_an_object_is_where_the_picture_has_its_colour() -> None:
    from benchmarks.make.compose_objects import CANVAS, next_scene
    from benchmarks.support.composing import Composer

    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 255
    composed, things = next_scene(Composer(red, np.array([7]), CANVAS, seed=0))
    inside = np.zeros((96, 96), bool)
    for thing in things:
        left, top, right, bottom = thing.box
        rows, columns = np.nonzero(thing.mask)
        assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (left, right, top, bottom)
        told = thing.told(1, 5)
        assert told["bbox"] == [left, top, right - left, bottom - top]
        assert (told["category_id"], told["image_id"], told["area"]) == (8, 5, len(rows))
        assert sum(of_text(told["segmentation"]["counts"])[1::2]) == len(rows)
        assert not (inside & thing.mask).any()
        inside |= thing.mask
    assert (composed.pixels[inside] == (255, 0, 0)).all()
    assert (composed.pixels[~inside] == (255, 0, 0)).all(axis=1).mean() < 0.01


def test_pictures_are_the_same_for_the_same_seed() -> None:
    from benchmarks.support.composing import Canvas, Composer

    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    one, again, other = (
        Composer(pictures, np.arange(3), Canvas(48, 16, 24), seed).compose().pixels for seed in (1, 1, 2)
    )
    assert (one == again).all()
    assert (one != other).any()


def test_boxes_come_back_from_what_is_learned_of_them() -> None:
    from benchmarks.support.detection_losses import encode

    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 20, 2, generator=generator) * 50
    boxes, others = (torch.cat([each, each + 5 + each.flip(0)], dim=1) for each in corners)
    back = decode(encode(boxes, others, BOX_WEIGHTS[0]), others, BOX_WEIGHTS[0])
    assert torch.allclose(back, boxes, atol=1e-4)


def test_a_mask_is_learned_where_a_box_has_it() -> None:
    from benchmarks.support.detection_losses import mask_goals

    mask = torch.zeros(1, 96, 96)
    mask[0, :, 40:] = 1
    (goal,) = mask_goals(mask, torch.tensor([[12.0, 20, 68, 76]]))  # of 56 pixels: each value is of two
    assert goal.shape == (28, 28)
    assert goal.sum(dim=1).tolist() == [14] * 28
    assert goal[0].tolist() == [0] * 14 + [1] * 14


def test_all_layers_of_the_heads_learn() -> None:
    from benchmarks.support.detection_losses import Truth, losses

    torch.manual_seed(0)
    decoder = random_model(DEMO_DETECT.architecture, 0).decoder
    assert isinstance(decoder, MaskRCNN)
    count = 8  # fewer pictures may have no examples of the last level, which has a hundred anchors
    maps = [torch.randn(count, dim, 48 >> n, 48 >> n) for n, dim in enumerate(DEMO_DETECT.architecture.dims)]
    mask = torch.zeros(1, 96, 96)
    mask[0, 20:60, 10:50] = 1
    truth = Truth(torch.tensor([[10.0, 20, 50, 60]]), torch.tensor([3]), mask)
    found = losses(decoder, maps, (96, 96), [truth] * count)
    # before anything is learned: of two kinds of anchors, of 11 classes, and of pixels
    assert [x.item() for x in (found.objectness, found.classes, found.masks)] == pytest.approx(
        [np.log(2), np.log(11), np.log(2)], abs=0.1
    )
    torch.stack(found).sum().backward()
    assert [name for name, w in decoder.named_parameters() if w.grad is None or not w.grad.any()] == []
