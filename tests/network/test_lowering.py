"""Every form of a ConvNeXt is the same function as the reference."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convnext_edge.architecture import Architecture, NormKind
from convnext_edge.artifacts.artifact import Form
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.images.transform import normalize
from convnext_edge.network.conv_form import QuantizedConvLayerFactory
from convnext_edge.network.convnext import ConvNeXt, as_tuple, part_of
from convnext_edge.network.linear_form import QuantizedLinearLayerFactory
from convnext_edge.network.lowering import LoweredConvNeXt, lower
from convnext_edge.network.norms import GRN, Norm
from convnext_edge.network.norms import normalize as exact_normalize
from convnext_edge.quantization.placement import choose_placement
from convnext_edge.quantization.recipe import Recipe

PREPROCESSING = Preprocessing(resolution=64, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
KINDS = {
    "v1": Architecture((1, 1, 2, 1), (16, 24, 32, 48), classes=10),
    "v1 without layer scale": Architecture((1, 1, 2, 1), (16, 24, 32, 48), classes=10, layer_scale=False),
    "v1 of patch 2": Architecture((1, 2, 1), (16, 24, 32), patch=2, classes=7),
    "v2": Architecture((1, 1, 2, 1), (16, 24, 32, 48), classes=10, grn=True, layer_scale=False),
}
SMALL = Architecture((1, 1, 1), (8, 12, 16), classes=5)
# What has no published model of its own, or answers more than logits.
OTHERS = {
    "overlapping stem": replace(SMALL, stem="overlap", stem_width=6, activation="silu"),
    "overlapping stem with activation": replace(SMALL, stem="overlap_act", stem_width=8, activation="relu"),
    "simplenorm": replace(SMALL, norm="simplenorm", norm_bias=False, activation="gelu_tanh"),
    "rmsnorm": replace(SMALL, norm="rmsnorm", norm_bias=False, eps=1e-5, activation="hardswish"),
    "layernorm without bias": replace(SMALL, norm_bias=False, conv_bias=False),
    "kernels": replace(SMALL, kernels=(3, 5, 9), downsample_first=True, patch=2),
    "norm first, maximum": replace(SMALL, norm_first=True, pooling="max"),
    "maximum": replace(SMALL, pooling="max"),
    "half of both": replace(SMALL, pooling="avgmax", head_bias=False),
    "both poolings": replace(SMALL, pooling="catavgmax", norm_first=True),
    "hidden layer": replace(SMALL, hidden=20),
    "dilated once": replace(SMALL, output_stride=8),
    "dilated twice": replace(SMALL, output_stride=4),
    "GRN and layer scale": replace(SMALL, grn=True),
    "embedding and map": replace(SMALL, classes=0, maps=(2,), map_last_norm=True),
    "maps": replace(SMALL, classes=0, last_norm=False, pooled=False, maps=(0, 2), map_norms=(0, 2)),
}


@pytest.fixture(scope="module", params=KINDS)
def reference(request: pytest.FixtureRequest) -> ConvNeXt:
    """A model in which no fold is without effect: norms, GRN and layer scales are all random."""
    return randomized(KINDS[request.param])


def randomized(architecture: Architecture) -> ConvNeXt:
    torch.manual_seed(0)
    model = ConvNeXt(architecture).eval()
    for module in model.modules():
        if isinstance(module, Norm | GRN):
            nn.init.normal_(module.weight, mean=1)
            if module.bias is not None:
                nn.init.normal_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            nn.init.normal_(parameter)
    return model


def pixels(count: int = 3, edge: int = 64) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 3, edge, edge), np.uint8)


def logits_of(module: nn.Module, images: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = module(torch.from_numpy(images))
    return result


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("input_type", get_args(InputType))
def test_a_form_has_the_logits_of_the_reference(
    reference: ConvNeXt, form: Form, input_type: InputType
) -> None:
    raw = pixels()
    normalized = normalize(raw, PREPROCESSING)
    expected = logits_of(reference, normalized)
    lowered = lower(reference, form, preprocessing=PREPROCESSING, input_type=input_type)
    found = logits_of(lowered, raw if input_type == "uint8" else normalized)
    assert found.shape == (3, reference.architecture.classes)
    assert expected.std() > 0.1, "the images must tell something apart"
    assert (found - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("input_type", get_args(InputType))
def test_a_form_has_all_outputs_of_any_architecture(kind: str, form: Form, input_type: InputType) -> None:
    reference = randomized(OTHERS[kind])
    raw = pixels(edge=53)  # which no stride divides
    normalized = normalize(raw, PREPROCESSING)
    lowered = lower(reference, form, preprocessing=PREPROCESSING, input_type=input_type)
    with torch.inference_mode():
        expected = as_tuple(reference(torch.from_numpy(normalized)))
        found = as_tuple(lowered(torch.from_numpy(raw if input_type == "uint8" else normalized)))
    assert len(found) == len(expected)
    for output, wanted in zip(found, expected, strict=True):
        assert output.shape == wanted.shape
        assert wanted.std() > 0.05, "the images must tell something apart"
        assert (output - wanted).abs().max() < 1e-4 * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize(("stride", "offset", "step"), [(16, 0, 2), (8, 1, 4)])
def test_a_dilated_model_computes_the_strided_one_at_more_places(stride: int, offset: int, step: int) -> None:
    """Every second, or fourth, cell of its last map is one of the other model's.

    timm pads the second dilated 2x2 kernel on both sides, and so the cells lie off by one.
    """
    architecture = Architecture((1, 1, 1, 1), (8, 12, 16, 20), classes=0, pooled=False, last_norm=False)
    strided = randomized(replace(architecture, maps=(3,)))
    dilated = part_of(strided, replace(architecture, maps=(3,), output_stride=stride))
    images = torch.from_numpy(normalize(pixels(), PREPROCESSING))
    with torch.inference_mode():
        wanted, found = strided(images), dilated(images)
    assert found.shape[-1] == 64 // stride
    torch.testing.assert_close(found[..., offset::step, offset::step], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", get_args(Form))
def test_lowering_leaves_the_reference_as_it_is(reference: ConvNeXt, form: Form) -> None:
    before = {name: tensor.clone() for name, tensor in reference.state_dict().items()}
    lowered = lower(reference, form, preprocessing=PREPROCESSING, input_type="uint8")
    for tensor in lowered.state_dict().values():
        tensor.add_(1)
    after = reference.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_reference_that_is_lowered_can_still_be_trained(reference: ConvNeXt) -> None:
    for form in get_args(Form):
        lower(reference, form, preprocessing=PREPROCESSING)
    assert all(parameter.requires_grad for parameter in reference.parameters())


@pytest.mark.parametrize("form", ["linear", "conv"])
def test_a_lowered_form_has_no_layer_scale_and_no_affine_norm_but_the_stems(
    reference: ConvNeXt, form: Form
) -> None:
    lowered = lower(reference, form, preprocessing=PREPROCESSING)
    held = {name for name, _ in [*lowered.named_parameters(), *lowered.named_buffers()]}
    assert not {name for name in held if "gamma" in name}
    assert {name for name in held if "norm" in name} == {"stem.norm.weight", "stem.norm.bias"}


# Layers


@pytest.mark.parametrize("form", ["linear", "conv"])
@pytest.mark.parametrize("input_type", get_args(InputType))
def test_the_layers_are_those_of_the_reference_in_its_order(
    reference: ConvNeXt, form: Form, input_type: InputType
) -> None:
    lowered = lower(reference, form, preprocessing=PREPROCESSING, input_type=input_type)
    assert isinstance(lowered, LoweredConvNeXt)
    layers = lowered.layers()
    originals = {
        "stem" if name == "stem.conv" else name: module
        for name, module in reference.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    assert list(layers) == list(originals)
    parameters = dict(lowered.named_parameters())
    for name, layer in layers.items():
        assert layer.name == name
        assert layer.weight_matrix.shape == originals[name].weight.flatten(1).shape
        assert layer.depthwise == (getattr(originals[name], "groups", 1) > 1)
        assert parameters[layer.weight_name] is layer.module.weight
        assert layer.reads_bytes == (name == "stem" and input_type == "uint8")
        assert layer.kind in name or layer.kind in ("pointwise", "depthwise")


@pytest.mark.parametrize("form", ["linear", "conv"])
def test_layers_run_in_their_order_each_once(reference: ConvNeXt, form: Form) -> None:
    lowered = lower(reference, form, preprocessing=PREPROCESSING)
    assert isinstance(lowered, LoweredConvNeXt)
    ran: list[str] = []
    for name, layer in lowered.layers().items():
        layer.module.register_forward_pre_hook(lambda _module, _inputs, name=name: ran.append(name))
    logits_of(lowered, normalize(pixels(), PREPROCESSING))
    assert ran == list(lowered.layers())


@pytest.mark.parametrize(
    ("form", "dynamic", "kept"), [("conv", False, 0), ("linear", False, 2), ("linear", True, 3)]
)
def test_convolutions_that_a_runtime_has_no_int8_for_stay_float(form: Form, dynamic: bool, kept: int) -> None:
    """ONNX Runtime multiplies matrices in INT8 and gives floats; its convolutions it computes in float."""
    architecture = replace(SMALL, stem="overlap", stem_width=6, output_stride=8)
    lowered = lower(randomized(architecture), form, preprocessing=PREPROCESSING, dynamic_size=dynamic)
    assert isinstance(lowered, LoweredConvNeXt)
    placement = choose_placement(lowered.layers().values(), Recipe())
    dense = {name for name, layer in lowered.layers().items() if layer.kind == "downsample"}
    assert dense == {"stem.conv2", "stages.1.downsample.conv", "stages.2.downsample.conv"}
    assert sum(not placement[name] for name in dense) == kept


def for_int8(kind: NormKind, x: Tensor, form: Form) -> Tensor:
    """What the norm of a form for models that will be quantized makes of (N, C, H, W)."""
    if form == "conv":
        return QuantizedConvLayerFactory.norms(kind, 1e-6, None, None)(x)
    return QuantizedLinearLayerFactory.norms(kind, 1e-6, None, None)(x.movedim(1, -1)).movedim(-1, 1)


@pytest.mark.parametrize("form", ["conv", "linear"])
@pytest.mark.parametrize("kind", get_args(NormKind))
@pytest.mark.parametrize(("mean", "bound"), [(0, 1e-5), (10, 1e-4), (100, 5e-3)])
def test_a_norm_for_int8_is_close_to_the_exact_one(
    kind: NormKind, mean: float, bound: float, form: Form
) -> None:
    x = torch.randn(2, 384, 14, 14, generator=torch.Generator().manual_seed(0)) + mean
    exact = exact_normalize(x.double(), kind, 1e-6, axis=1)
    found = for_int8(kind, x, form)
    # simplenorm keeps the mean: its values are as large as the mean
    assert (found - exact).abs().max() / exact.abs().max() < bound


@pytest.mark.parametrize("form", ["conv", "linear"])
@pytest.mark.parametrize("kind", get_args(NormKind))
def test_a_norm_for_int8_bears_pixels_that_are_alike_in_all_channels(kind: NormKind, form: Form) -> None:
    assert torch.isfinite(for_int8(kind, torch.full((1, 96, 8, 8), 7.3), form)).all()


@pytest.mark.parametrize("form", ["conv", "linear"])
def test_what_a_layernorm_takes_away_again_costs_no_digits(reference: ConvNeXt, form: Form) -> None:
    normalized = normalize(pixels(), PREPROCESSING)
    expected = logits_of(reference, normalized)
    shifted = deepcopy(reference)
    for name, parameter in shifted.named_parameters():
        if name.endswith("dwconv.bias"):
            parameter.data += 1000
    lowered = lower(shifted, form, preprocessing=PREPROCESSING, will_quantize=True)
    assert (logits_of(lowered, normalized) - expected).abs().max() < 1e-3 * expected.std()
