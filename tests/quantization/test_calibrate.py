"""Statistics of a layer's input: moments, rows and ranges, held against the arithmetic they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.lowering import LoweredConvNeXt, lower
from convnext_edge.quantization.calibrate import Moments, calibrate, sample_rows
from convnext_edge.quantization.placement import choose_placement
from convnext_edge.quantization.recipe import Recipe

FORMS: tuple[Form, ...] = ("conv", "linear")
IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def model(form: Form) -> LoweredConvNeXt:
    torch.manual_seed(0)
    reference = ConvNeXt(Architecture((1, 1), (8, 16), classes=5)).eval()
    lowered = lower(reference, form, preprocessing=Preprocessing(resolution=32))
    assert isinstance(lowered, LoweredConvNeXt)
    return lowered


def inputs_and_outputs(module: LoweredConvNeXt) -> dict[str, tuple[Tensor, Tensor]]:
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name, layer in module.layers().items():

        def hook(_module: object, inputs: tuple[Tensor, ...], y: Tensor, name: str = name) -> None:
            found[name] = inputs[0], y

        layer.module.register_forward_hook(hook)
    with torch.inference_mode():
        module(IMAGES)
    return found


def test_moments_are_sums_over_all_rows() -> None:
    rows = torch.randn(70, 1100, generator=torch.Generator().manual_seed(0))  # more columns than two blocks
    moments = Moments.empty(1100)
    for part in rows.split(32):
        moments.add(part)
    assert moments.count == 70
    assert torch.allclose(moments.total, rows.sum(0), atol=1e-4)
    assert torch.allclose(moments.second.tril(), (rows.T @ rows).tril(), atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_what_the_weight_matrix_multiplies(form: Form) -> None:
    module = model(form)
    axis = 1 if form == "conv" else -1
    compared = 0
    for name, (x, y) in inputs_and_outputs(module).items():
        layer = module.layers()[name]
        if not layer.depthwise:
            rows = sample_rows(layer, x, positions=10_000)
            assert layer.module.bias is not None
            expected = y.movedim(axis, -1).flatten(0, -2)  # (rows, O)
            assert torch.allclose(rows @ layer.weight_matrix.T + layer.module.bias, expected, atol=1e-5), name
            compared += 1
    assert compared == 7  # stem, one downsampling layer, two blocks of two, head


@pytest.mark.parametrize("form", FORMS)
def test_ranges_and_moments_are_those_of_all_images(form: Form) -> None:
    module, recipe = model(form), Recipe(range="minmax")
    placement = choose_placement(module.layers().values(), recipe)
    found = calibrate(model(form), [*IMAGES.split(1)], recipe, placement, images=4)
    assert set(found) == {name for name, chosen in placement.items() if chosen}
    for name, (x, _) in inputs_and_outputs(module).items():
        if not placement[name]:
            continue
        low, high = min(float(x.min()), 0), max(float(x.max()), 0)
        assert found[name].range().scale == pytest.approx((high - low) / 255, rel=1e-4)
        wide = found[name].range_by(Recipe(activation="uint16"))
        assert wide.scale == pytest.approx(2 * (high - low) / 65535, rel=1e-4)
        rows = sample_rows(module.layers()[name], x, positions=10_000)
        (moments,) = found[name].moments
        assert moments.count == len(rows)
        assert torch.allclose(moments.second.tril(), (rows.T @ rows).tril(), rtol=1e-3, atol=1e-3)
