"""What stands in for Q/DQ while training: values are rounded, gradients pass as if they were not.

Ranges of activations, and scales of weights that cannot saturate, are learned (LSQ: Esser et al., 2020,
"Learned Step Size Quantization", arXiv:1902.08153). Scales of 8-bit weights that must not saturate follow
from the weights at each step by the rule of `NonSaturatingWeightObserver`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase
from torchao.quantization.pt2e.quantizer import QuantizationSpec, QuantizationSpecBase

from convnext_edge.quantization.insert_qdq import (
    ConvNeXtQuantizer,
    Layer,
    activation_codes,
    weight_observer,
    weight_spec,
)
from convnext_edge.quantization.observers import SMALLEST_SCALE
from convnext_edge.quantization.ptq import Calibrated
from convnext_edge.quantization.recipe import Recipe


class LearnedFakeQuantize(FakeQuantizeBase):  # type: ignore[misc]
    """One learned scale, from `scale` on; the zero point stays. Its logarithm is what is trained, so that
    a step of the optimizer changes large and small scales alike.

    `zero_point`: code of zero. `codes`: dtype, quant_min, quant_max and qscheme, as torchao calls them.
    """

    def __init__(self, *, scale: Tensor, zero_point: int = 0, ch_axis: int = 0, **codes: Any) -> None:
        super().__init__()
        self.dtype, self.qscheme, self.ch_axis = codes["dtype"], codes["qscheme"], ch_axis
        self.quant_min, self.quant_max = codes["quant_min"], codes["quant_max"]
        self.log_scale = nn.Parameter(scale.detach().float().log().reshape(-1))
        self.register_buffer("zero_point", torch.full_like(self.log_scale.detach(), zero_point))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, ...); float32 is returned, as bfloat16 could not hold the codes."""
        # LSQ, section 2.2, by features of an image: keeps the scale's gradient in proportion to the values'
        gradient_factor = (x[0].numel() * self.quant_max) ** -0.5
        faked: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            x.float(), self.log_scale.exp(), self.zero_point, self.quant_min, self.quant_max, gradient_factor
        )
        return faked

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point."""
        return self.log_scale.detach().exp(), self.zero_point.long()


class PerChannelLearnedFakeQuantize(LearnedFakeQuantize):
    """A learned scale for each channel (out,) of `ch_axis`. torchao goes by the name `PerChannel`."""

    def forward(self, x: Tensor) -> Tensor:
        """x: a weight with output channels along `ch_axis`."""
        gradient_factor = (x.numel() / len(self.log_scale) * self.quant_max) ** -0.5
        scale, limits = self.log_scale.exp(), (self.quant_min, self.quant_max)
        faked: Tensor = torch._fake_quantize_learnable_per_channel_affine(
            x, scale, self.zero_point, self.ch_axis, *limits, gradient_factor
        )
        return faked


class PerChannelRuleFakeQuantize(FakeQuantizeBase):  # type: ignore[misc]
    """Scales that `make_observer`'s observer takes from the weight anew at each step."""

    def __init__(self, *, make_observer: Any, ch_axis: int, **codes: Any) -> None:
        super().__init__()
        self.dtype, self.qscheme, self.ch_axis = codes["dtype"], codes["qscheme"], ch_axis
        self.quant_min, self.quant_max = codes["quant_min"], codes["quant_max"]
        self.make_observer = make_observer.with_args(**codes)
        # of no checkpoint: it follows from the weight
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """weight: output channels along `ch_axis`."""
        # a new one: they remember the largest of all they saw
        observer = self.make_observer().to(weight.device)
        observer(weight.detach())
        self.scale, zero_point = observer.calculate_qparams()
        faked: Tensor = torch.fake_quantize_per_channel_affine(
            weight, self.scale, zero_point.int(), self.ch_axis, self.quant_min, self.quant_max
        )
        return faked

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and (zero) zero point of the last weight seen."""
        return self.scale, torch.zeros_like(self.scale, dtype=torch.int64)


class TrainingQuantizer(ConvNeXtQuantizer):
    """The placement of `ConvNeXtQuantizer`, with fake quantization that starts from what PTQ found."""

    def __init__(self, recipe: Recipe, calibrated: Calibrated) -> None:
        super().__init__(recipe, calibrated.weight_scales, calibrated.ranges)

    def annotate(self, model: GraphModule) -> GraphModule:
        self.model = model
        return super().annotate(model)

    def activation_spec(self, layer: Layer) -> QuantizationSpecBase:
        known = self.ranges[layer.name]
        fake = LearnedFakeQuantize.with_args(scale=torch.tensor(known.scale), zero_point=known.zero_point)
        codes = activation_codes(self.recipe.at(layer.name))
        return QuantizationSpec(**codes, observer_or_fake_quant_ctr=fake)

    def weight_spec(self, layer: Layer) -> QuantizationSpecBase:
        if self.recipe.avoids_saturation and not layer.depthwise:
            rule = weight_observer(self.recipe, layer, None)
            fake = PerChannelRuleFakeQuantize.with_args(make_observer=rule, ch_axis=layer.channel_axis)
        else:
            scale = self.weight_scales.get(layer.name, self.largest_scale(layer))
            fake = PerChannelLearnedFakeQuantize.with_args(scale=scale, ch_axis=layer.channel_axis)
        return weight_spec(self.recipe, layer, fake)

    def largest_scale(self, layer: Layer) -> Tensor:
        """The scale (out,) with which no weight is cut off."""
        weight = self.model.get_parameter(str(layer.weight.target))
        largest = weight.detach().movedim(layer.channel_axis, 0).flatten(1).abs().amax(1)
        return (largest / self.recipe.largest_code).clamp(min=SMALLEST_SCALE)
