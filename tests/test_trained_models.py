"""The models that fidelity is measured on are what their table says, and training makes what it should."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.places import ROOT
from torch import Tensor
from torch.nn import functional as F

from benchmarks.support.depthwise import with_fast_depthwise
from benchmarks.support.derived import (
    OUTLIER,
    as_v2,
    blocks,
    give_grn_weight,
    outlier_ratios,
    stage_rms,
    with_outliers,
    with_rms_norm,
)
from benchmarks.support.fast_grn import with_fast_grn
from benchmarks.support.models import Model, read_models
from benchmarks.support.pictures import Augmentation, Pictures
from benchmarks.support.training import Plan, Training, initialize, train
from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.images.opening import open_image_set
from convnext_edge.network.convnext import ConvNeXt, random_model
from convnext_edge.reading import read_toml

SMALL = Architecture(depths=(1, 1, 2, 1), dims=(8, 12, 16, 24), patch=2, classes=10)
MODELS = read_models()
TABLE = read_toml(ROOT / "calibration/models/models.toml")


@pytest.fixture
def model() -> ConvNeXt:
    """A small model with weights of all kinds."""
    made = random_model(SMALL, seed=0)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(
                0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
            )
    return made


@pytest.fixture
def images() -> Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def of_image_set(model: Model, count: int) -> tuple[Tensor, np.ndarray]:
    """Images of the demo as the model takes them, and their labels."""
    drawn = open_image_set("demo", split="evaluation").subset(count, seed=0)
    (batch,) = drawn.batches(model.preprocessing, batch=count, dtype="float32")
    return torch.from_numpy(batch.images), batch.labels


# The models of the repository


@pytest.mark.parametrize(
    "found", [model for model in MODELS if model.shape.images == "demo"], ids=lambda m: m.name
)
def test_a_trained_model_is_as_good_as_its_table_says(found: Model) -> None:
    images, labels = of_image_set(found, 300)
    with torch.inference_mode():
        right = load_checkpoint(found.file).model(images).argmax(1).numpy() == labels
    deviation = (found.shape.top1 * (1 - found.shape.top1) / len(labels)) ** 0.5
    assert right.mean() == pytest.approx(found.shape.top1, abs=3 * deviation)


def test_every_model_has_a_row_and_every_row_a_model() -> None:
    assert {model.file for model in MODELS} == set((ROOT / "calibration/models").glob("*.safetensors"))
    assert all(model.file.stat().st_size < 8 * 2**20 for model in MODELS)


def test_the_outliers_are_as_large_as_the_table_says() -> None:
    (found,) = (model for model in MODELS if model.name == "demo_outlier")
    images, _ = of_image_set(found, 64)
    model, told = load_checkpoint(found.file).model, TABLE["demo_outlier"]
    assert outlier_ratios(model, images) == pytest.approx(told["ratios"], rel=0.15)
    assert [int(rms.argmax()) for rms in stage_rms(model, images)] == told["channels"]


def test_grn_carries_weight_and_is_as_large_as_the_table_says() -> None:
    (found,) = (model for model in MODELS if model.name == "demo_v2")
    model = load_checkpoint(found.file).model
    images, _ = of_image_set(found, 100)
    answers = model(images).argmax(1)
    sizes = [float(block.grn.weight.detach().square().mean().sqrt()) for block in blocks(model)]
    assert sizes == pytest.approx(TABLE["demo_v2"]["grn_weight_rms"], abs=0.002)
    with torch.no_grad():
        for block in blocks(model):
            block.grn.weight.zero_()
    assert (model(images).argmax(1) != answers).float().mean() > 0.2


# How they are begun


def test_a_v2_begins_as_the_same_function(model: ConvNeXt, images: Tensor) -> None:
    made = as_v2(model)
    assert made.architecture.grn
    torch.testing.assert_close(made(images), model(images), atol=1e-5, rtol=1e-4)


def test_grn_with_weight_begins_near_the_same_function(model: ConvNeXt, images: Tensor) -> None:
    made = as_v2(model)
    give_grn_weight(made, images)
    assert all(block.grn.weight.max() > 0.8 for block in blocks(made))
    wanted, found = model(images), made(images)
    assert (found - wanted).square().mean() < 0.1 * wanted.var()


def test_outliers_leave_a_stage_as_it_was_but_for_one_channel(model: ConvNeXt, images: Tensor) -> None:
    changed = copy.deepcopy(model)
    channels = with_outliers(changed, images)
    before, after = model.stages[0](model.stem(images)), changed.stages[0](changed.stem(images))
    before[:, channels[0]] *= OUTLIER
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_a_model_with_rms_norm_is_the_same_where_means_are_zero() -> None:
    plain = replace(SMALL, depths=(0, 0, 0, 0), dims=(8, 8, 8, 8))
    model = random_model(plain, seed=0)
    with torch.no_grad():
        for norm in (model.norm, *(stage.downsample.norm for stage in list(model.stages)[1:])):
            norm.bias.normal_(generator=torch.Generator().manual_seed(2))
        for stage in list(model.stages)[1:]:  # so that what they give has no mean over the channels
            stage.downsample.conv.weight -= stage.downsample.conv.weight.mean(0, keepdim=True)
            stage.downsample.conv.bias -= stage.downsample.conv.bias.mean()
    made = with_rms_norm(model)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(made(images), model(images), atol=1e-4, rtol=1e-3)


# How they are trained


@pytest.mark.parametrize("size", [2, 5, 16])
def test_the_fast_gradient_of_depthwise_layers_is_that_of_pytorch(size: int) -> None:
    slow = random_model(replace(SMALL, depths=(1, 0, 0, 0)), seed=0)
    fast = with_fast_depthwise(copy.deepcopy(slow))
    x = torch.randn(4, 8, size, size, generator=torch.Generator().manual_seed(size))
    for model in (slow, fast):
        model.stages[0].blocks[0].dwconv(x).square().sum().backward()
    for name in ("weight", "bias"):
        wanted, found = (getattr(m.stages[0].blocks[0].dwconv, name).grad for m in (slow, fast))
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-4)


def test_the_fast_grn_is_the_reference(images: Tensor) -> None:
    slow = random_model(replace(SMALL, grn=True, layer_scale=False), seed=0)
    with torch.no_grad():
        for block in blocks(slow):
            block.grn.weight.normal_(generator=torch.Generator().manual_seed(0))
    wanted = slow(images)
    torch.testing.assert_close(with_fast_grn(slow)(images), wanted, atol=1e-5, rtol=1e-4)


def some_training() -> Training:
    generator = torch.Generator().manual_seed(0)
    pictures = Pictures(
        torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=generator),
        torch.arange(24) % 10,
    )
    torch.manual_seed(0)
    model = ConvNeXt(SMALL)
    initialize(model)
    augmentation = Augmentation((0.5,) * 3, (0.25,) * 3, mix=True)
    return Training(model, pictures, augmentation, Plan(2, batch=8, average=0.5), compiled=False)


def test_training_goes_on_from_a_snapshot_as_if_undisturbed(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(_: Training) -> None:
        raise KilledError

    whole, snapshot = some_training(), tmp_path / "model.snapshot"
    train(whole, None, lambda _: None)
    with pytest.raises(KilledError):
        train(some_training(), snapshot, kill)
    resumed = some_training()
    train(resumed, snapshot, lambda _: None)
    assert resumed.done == whole.done == 6
    for name, tensor in whole.averaged.state_dict().items():
        torch.testing.assert_close(resumed.averaged.state_dict()[name], tensor, atol=0, rtol=0)


def test_a_batch_is_cropped_from_its_images_and_mixed_by_area() -> None:
    pictures = some_training().pictures
    augmentation = Augmentation((0.0,) * 3, (1.0,) * 3, cutout=0)
    images, targets = augmentation.batch(pictures, torch.arange(10), torch.Generator().manual_seed(0))
    assert images.shape == (10, 3, 32, 32)
    # without cutout and mixing, each value is one of its own image
    for image, own in zip(images, pictures.images[:10], strict=True):
        assert set((image * 255).round().flatten().tolist()) <= set(own.flatten().tolist())
    torch.testing.assert_close(targets, F.one_hot(pictures.labels[:10], 10).float())
    mixed = replace(augmentation, mix=True)
    shares = mixed.batch(pictures, torch.arange(10), torch.Generator().manual_seed(3))[1]
    torch.testing.assert_close(shares.sum(1), torch.ones(10))
