"""Smoothing: scale moves from activations to weights, and the function stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.lowered_parts import Scaled
from convnext_edge.network.lowering import LoweredConvNeXt, lower
from convnext_edge.quantization.recording import record_inputs
from convnext_edge.quantization.smooth import smooth, smoothing_factor


def model(form: Form, *, grn: bool) -> LoweredConvNeXt:
    torch.manual_seed(0)
    reference = ConvNeXt(Architecture((1, 1), (8, 16), classes=5, grn=grn, layer_scale=not grn)).eval()
    for name, parameter in reference.named_parameters():
        if "norm" in name or "grn" in name:
            torch.nn.init.normal_(parameter, mean=1)
    lowered = lower(reference, form, preprocessing=Preprocessing(resolution=32))
    assert isinstance(lowered, LoweredConvNeXt)
    return lowered


BATCHES = list(torch.randn(3, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1)))


def peaks(module: LoweredConvNeXt) -> dict[str, tuple[Tensor, Tensor]]:
    """Largest |x| and |w| of each input channel of the layers that can be smoothed."""
    parts = {name: part for name, part in module.named_modules() if isinstance(part, Scaled)}

    def peak(name: str, x: Tensor) -> Tensor:
        others = [axis for axis in range(x.ndim) if axis != parts[name].factory.axis % x.ndim]
        return x.abs().amax(others)

    seen = list(record_inputs(module, BATCHES, {name: part.layer for name, part in parts.items()}, peak))
    return {
        name: (torch.stack([found[name] for found in seen]).amax(0), part.weight_peaks())
        for name, part in parts.items()
    }


@pytest.mark.parametrize("form", ["conv", "linear"])
@pytest.mark.parametrize("grn", [False, True])
def test_activations_and_weights_share_their_scale_and_the_function_stays(form: Form, grn: bool) -> None:
    before = model(form, grn=grn)
    state = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    smoothed = smooth(before, BATCHES, 0.5)
    with torch.inference_mode():
        assert torch.allclose(smoothed(BATCHES[0]), before(BATCHES[0]), atol=1e-5)
    assert all(torch.equal(tensor, state[name]) for name, tensor in before.state_dict().items())
    evened = peaks(smoothed)
    assert len(evened) == (6 if grn else 4)  # with GRN, the second pointwise layers too
    for name, (activation, weight) in evened.items():
        ratio = activation / weight
        assert torch.allclose(ratio, ratio.mean(), rtol=1e-3), name
        raw = peaks(before)[name]
        assert not torch.allclose(raw[0] / raw[1], (raw[0] / raw[1]).mean(), rtol=0.1), name


def test_behind_a_convolution_simplenorm_lets_it_take_the_scale() -> None:
    """For ONNX Runtime, which has no operator for simplenorm: a scale of its own would be a pass more."""
    torch.manual_seed(0)
    architecture = Architecture((1, 1), (8, 16), classes=5, norm="simplenorm", norm_bias=False)
    reference = ConvNeXt(architecture).eval()
    before = lower(reference, "linear", preprocessing=Preprocessing(resolution=32), will_quantize=True)
    assert isinstance(before, LoweredConvNeXt)
    smoothed = smooth(before, BATCHES, 0.5)
    with torch.inference_mode():
        assert torch.allclose(smoothed(BATCHES[0]), reference(BATCHES[0]), atol=1e-5)
    state = smoothed.state_dict()
    assert "stages.1.downsample.conv.before.weight" in state  # behind a sum that others read as well
    for stage in (0, 1):
        block = f"stages.{stage}.blocks.0"
        assert f"{block}.pwconv1.before.weight" not in state
        name = f"{block}.dwconv.conv.weight"
        moved = (state[name] / before.state_dict()[name]).flatten(1).mean(1)
        assert moved.std() > 0
        undone = state[f"{block}.pwconv1.before.mean_weight"].flatten() * moved
        assert torch.allclose(undone, undone.mean(), rtol=1e-4)
    for name, (activation, weight) in peaks(smoothed).items():
        ratio = activation / weight
        assert torch.allclose(ratio, ratio.mean(), rtol=1e-3), name


def test_a_factor_is_equation_4_with_a_geometric_mean_of_1() -> None:
    """4 ** 0.5 / 1 and 1 / 16 ** 0.5 are 2 and 1/4, whose geometric mean is the root of 1/2."""
    factor = smoothing_factor(torch.tensor([4.0, 1.0]), torch.tensor([1.0, 16.0]), 0.5)
    assert factor.tolist() == pytest.approx([2 * 2**0.5, 2**0.5 / 4])
    assert smoothing_factor(torch.tensor([4.0, 1.0]), torch.ones(2), 1).tolist() == pytest.approx([2, 0.5])
