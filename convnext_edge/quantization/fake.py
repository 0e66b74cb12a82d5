"""Fake quantization: in training, values are rounded, and gradients pass as if they were not.

Ranges of activations, and scales of weights that cannot saturate, are learned (LSQ: Esser et al., 2020,
"Learned Step Size Quantization", arXiv:1902.08153). Scales of 8-bit weights that must not saturate follow
from the weights at each step by the rule of `scales.weight_scale`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase
from torchao.quantization.pt2e.quantizer import QuantizationSpec

from convnext_edge.network.layers import Layer
from convnext_edge.quantization.insert_qdq import LayerSpecs, make_specs, weight_spec
from convnext_edge.quantization.observers import ActivationRange, activation_codes
from convnext_edge.quantization.ptq import Calibrated
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.scales import fake_quantize_weight, weight_scale


class LearnedFakeQuantize(FakeQuantizeBase):  # type: ignore[misc]
    """Fake quantization with one learned scale, from `scale` on; the zero point stays.

    The scale's logarithm is what is trained, so that a step of the optimizer changes large and small scales
    alike.
    zero_point: code of zero. codes: dtype, quant_min, quant_max and qscheme, as torchao calls them.
    """

    def __init__(self, *, scale: Tensor, zero_point: int = 0, ch_axis: int = 0, **codes: Any) -> None:
        super().__init__()
        self.dtype, self.qscheme, self.ch_axis = codes["dtype"], codes["qscheme"], ch_axis
        self.quant_min, self.quant_max = codes["quant_min"], codes["quant_max"]
        self.log_scale = nn.Parameter(scale.detach().float().log().reshape(-1))
        self.register_buffer("zero_point", torch.full_like(self.log_scale.detach(), zero_point))

    def forward(self, x: Tensor) -> Tensor:
        """Round x (N, ...); float32 is returned, as bfloat16 could not hold the codes."""
        # LSQ, section 2.2, by features of an image: keeps the scale's gradient in proportion to the values'
        gradient_factor = (x[0].numel() * self.quant_max) ** -0.5
        faked: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            x.float(), self.log_scale.exp(), self.zero_point, self.quant_min, self.quant_max, gradient_factor
        )
        return faked

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        return self.log_scale.detach().exp(), self.zero_point.long()


class PerChannelLearnedFakeQuantize(LearnedFakeQuantize):
    """Fake quantization with a learned scale (O,) for each channel along `ch_axis`.

    torchao knows it by `PerChannel` in its name.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Round a weight with its output channels along `ch_axis`."""
        gradient_factor = (x.numel() / len(self.log_scale) * self.quant_max) ** -0.5
        scale, limits = self.log_scale.exp(), (self.quant_min, self.quant_max)
        faked: Tensor = torch._fake_quantize_learnable_per_channel_affine(
            x, scale, self.zero_point, self.ch_axis, *limits, gradient_factor
        )
        return faked


class PerChannelRuleFakeQuantize(FakeQuantizeBase):  # type: ignore[misc]
    """Fake quantization of a weight whose scale follows from the weight anew at each step, by a rule.

    rule: from a weight (O, ...) to its scale (O,). codes: as of `LearnedFakeQuantize`.
    """

    def __init__(self, *, rule: Callable[[Tensor], Tensor], ch_axis: int, **codes: Any) -> None:
        super().__init__()
        self.dtype, self.qscheme, self.ch_axis = codes["dtype"], codes["qscheme"], ch_axis
        self.quant_min, self.quant_max = codes["quant_min"], codes["quant_max"]
        self.rule = rule
        # of no checkpoint: it follows from the weight
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Round a weight with its output channels along `ch_axis`."""
        self.scale = self.rule(weight.detach().movedim(self.ch_axis, 0))
        return fake_quantize_weight(weight, self.scale, self.ch_axis, self.quant_max)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Return the scale of the last weight seen, and zero points of zero."""
        return self.scale, torch.zeros_like(self.scale, dtype=torch.int64)


def training_specs(
    layers: Mapping[str, Layer], recipe: Recipe, calibrated: Calibrated
) -> dict[str, LayerSpecs]:
    """Return the specs of each quantized layer, with fake quantization that starts from what PTQ found."""

    def weight(layer: Layer) -> QuantizationSpec:
        return weight_spec(recipe, layer, fake_weight(recipe, layer, calibrated.weight_scales[layer.name]))

    def activation(layer: Layer) -> QuantizationSpec:
        return learned_activation_spec(recipe.at(layer.name), calibrated.ranges[layer.name])

    return make_specs(layers, calibrated.placement, recipe, weight=weight, activation=activation)


def learned_activation_spec(recipe: Recipe, start: ActivationRange) -> QuantizationSpec:
    """Return the spec of an activation whose scale is learned from `start` on."""
    fake = LearnedFakeQuantize.with_args(scale=torch.tensor(start.scale), zero_point=start.zero_point)
    return QuantizationSpec(**activation_codes(recipe), observer_or_fake_quant_ctr=fake)


def fake_weight(recipe: Recipe, layer: Layer, start: Tensor) -> Any:
    """Return what makes the fake quantization of a weight. start: the scale that PTQ found, (O,)."""
    if recipe.avoids_saturation and not layer.depthwise:
        rule = partial(weight_scale, recipe=recipe)
        return PerChannelRuleFakeQuantize.with_args(rule=rule, ch_axis=layer.channel_axis)
    return PerChannelLearnedFakeQuantize.with_args(scale=start, ch_axis=layer.channel_axis)
