"""Every form of a ConvNeXt is the same function as the reference."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from convnext_edge.architecture import Architecture
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.images.transform import normalize
from convnext_edge.network.convnext import GRN, ConvNeXt
from convnext_edge.network.lowering import Form, LoweredConvNeXt, lower

PREPROCESSING = Preprocessing(resolution=64, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
KINDS = {
    "v1": Architecture((1, 1, 2, 1), (16, 24, 32, 48), classes=10),
    "v1 without layer scale": Architecture((1, 1, 2, 1), (16, 24, 32, 48), classes=10, layer_scale=False),
    "v1 of patch 2": Architecture((1, 2, 1), (16, 24, 32), patch=2, classes=7),
    "v2": Architecture((1, 1, 2, 1), (16, 24, 32, 48), classes=10, grn=True, layer_scale=False),
}


@pytest.fixture(scope="module", params=KINDS)
def reference(request: pytest.FixtureRequest) -> ConvNeXt:
    """A model in which no fold is without effect: norms, GRN and layer scales are all random."""
    torch.manual_seed(0)
    model = ConvNeXt(KINDS[request.param]).eval()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | GRN):
            nn.init.normal_(module.weight, mean=1)
            nn.init.normal_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            nn.init.normal_(parameter)
    return model


def pixels(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 3, 64, 64), np.uint8)


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
