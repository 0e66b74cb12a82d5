"""Statistics of a layer's input: moments, rows and ranges, held against the arithmetic they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.layers import Layer
from convnext_edge.network.lowering import LoweredConvNeXt, lower
from convnext_edge.quantization import calibrate as calibrate_module
from convnext_edge.quantization.calibrate import (
    InputSample,
    Moments,
    calibrate,
    empty_statistics,
    piece_sizes,
    sample_rows,
)
from convnext_edge.quantization.placement import choose_placement
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.round_weights import round_layer

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
    compared = 0
    for name, (x, y) in inputs_and_outputs(module).items():
        layer = module.layers()[name]
        if not layer.depthwise:
            rows = sample_rows(layer, x, positions=10_000)
            assert layer.module.bias is not None
            axis = 1 if isinstance(layer.module, nn.Conv2d) else -1
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


def kernel_layer(channels: int) -> Layer:
    """A 3x3 convolution with padding, as a decoder has it."""
    torch.manual_seed(0)
    return Layer("conv", "decoder", nn.Conv2d(channels, 6, 3, padding=1), "conv.weight", reads_bytes=False)


def test_windows_are_those_within_the_map() -> None:
    layer, x = kernel_layer(4), torch.randn(2, 4, 7, 9, generator=torch.Generator().manual_seed(0))
    rows = sample_rows(layer, x, positions=10_000)
    inside = layer.module(x)[:, :, 1:-1, 1:-1].movedim(1, -1).flatten(0, 2)  # without those that reach zeros
    assert layer.module.bias is not None
    torch.testing.assert_close(rows @ layer.weight_matrix.T + layer.module.bias, inside)


def test_moments_of_wide_layers_are_kept_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = kernel_layer(6)
    assert piece_sizes(layer) == [54]
    monkeypatch.setattr(calibrate_module, "WIDE", 20)
    monkeypatch.setattr(calibrate_module, "PIECE", 40)
    assert piece_sizes(layer) == [36, 18]  # two pairs of channels, and one
    found = empty_statistics(layer, Recipe(range="minmax"))
    x = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    rows = sample_rows(layer, x, positions=10_000)
    found.pending.append(InputSample(rows, torch.stack(x.aminmax())))
    found.add_pending()
    for piece, columns in zip(found.moments, rows.split([36, 18], dim=1), strict=True):
        torch.testing.assert_close(piece.second.tril(), (columns.T @ columns).tril())
    before = rows @ layer.weight_matrix.T
    scale = round_layer(layer, found.moments, Recipe())
    codes = layer.weight_matrix / scale[:, None]
    torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)
    assert layer.module.bias is not None
    after = rows @ layer.weight_matrix.T
    assert float((after - before).square().mean().sqrt()) < 0.02 * float(before.std())


@pytest.mark.parametrize("size", [(2, 3), (1, 1), (3, 4)])
def test_windows_of_a_map_that_is_smaller_than_the_kernel_have_its_padding(size: tuple[int, int]) -> None:
    conv, x = nn.Conv2d(5, 7, 3, padding=1), torch.randn(2, 5, *size)
    found = calibrate_module.sample_windows(x, conv, 512)
    padding = 1 if min(size) < 3 else 0
    expected = nn.functional.unfold(x, 3, padding=padding)  # (N, K, positions)
    torch.testing.assert_close(found, expected.transpose(1, 2).flatten(0, 1))
