"""Exact rewrites of a ConvNeXt into the form that a runtime runs fastest.

Three foldings hold in every lowered form, all free of loss (differences about 1e-7 relative):

* the layer scale (gamma), and GRN's bias, fold into the second pointwise layer;
* the affine part of LayerNorm folds into the layer behind it, so what is quantized is the normalized
  value, whatever share of the scale a checkpoint keeps in the norm (the stem's norm feeds the residual
  path as well and keeps its own);
* with a `uint8` input, x / 255, mean and std fold into the stem, which has no padding.

What the folded layers are written as is the business of a form (`forms.py`); `plain` is no lowering at
all but the reference as it stands, for any runtime to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.network.convnext import GRN, Block, ConvNeXt, Downsample, Stage
from convnext_edge.network.forms import LAYER_FACTORIES, LayerFactory, Rescalable
from convnext_edge.network.layers import Layer, LayerKind, find_multiplication

Form = Literal["plain", "linear", "conv"]


def lower(
    model: ConvNeXt, form: Form, *, preprocessing: Preprocessing, input_type: InputType = "float32"
) -> nn.Module:
    """Return the same function as `model` in another form, in eval mode; `model` is left as it is.

    Takes (N, 3, H, W): float32 normalized as `preprocessing` says, or raw RGB bytes where `input_type`
    is "uint8". Returns (N, classes) float32 logits.
    """
    lowered: nn.Module
    if form == "plain":
        lowered = Plain(model, preprocessing, input_type)
    else:
        lowered = LoweredConvNeXt(model, LAYER_FACTORIES[form], preprocessing, input_type)
    return lowered.eval().requires_grad_(False)


# --- foldings: pairs of (weight, bias) -----------------------------------------------------------

Affine = tuple[Tensor, Tensor]


def fold_normalization(weight: Tensor, bias: Tensor, norm: nn.LayerNorm) -> Affine:
    """Absorb what LayerNorm multiplies and adds into `weight` (out, in, ...), whose `in` is normalized."""
    scale = norm.weight.view(1, -1, *[1] * (weight.ndim - 2))
    shift = norm.bias.view(1, -1, *[1] * (weight.ndim - 2))
    return weight * scale, bias + (weight * shift).flatten(1).sum(1)


def fold_second_pointwise(block: Block) -> Affine:
    """Absorb GRN's bias before the layer and gamma behind it. Returns weight (C, 4C) and bias (C,)."""
    weight: Tensor = block.pwconv2.weight
    bias: Tensor = block.pwconv2.bias
    if isinstance(block.grn, GRN):
        bias = bias + weight @ block.grn.bias
    if block.gamma is not None:
        weight, bias = weight * block.gamma[:, None], bias * block.gamma
    return weight, bias


def fold_image(weight: Tensor, bias: Tensor, preprocessing: Preprocessing) -> Affine:
    """Absorb (x / 255 - mean) / std. Returns weight (C, 3, patch, patch) for values in 0..255, and bias."""
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    return weight / (255 * std), bias - (weight * mean / std).flatten(1).sum(1)


def stem_affine(model: ConvNeXt, preprocessing: Preprocessing, input_type: InputType) -> Affine:
    """Return the stem's weight (C, 3, patch, patch) and bias (C,), for images of `input_type`."""
    weight, bias = model.stem.conv.weight, model.stem.conv.bias
    assert bias is not None
    return fold_image(weight, bias, preprocessing) if input_type == "uint8" else (weight, bias)


# --- plain ---------------------------------------------------------------------------------------


class Plain(nn.Module):
    """The reference as it is, behind the image normalization where the input is raw bytes."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: ConvNeXt, preprocessing: Preprocessing, input_type: InputType) -> None:
        super().__init__()
        self.model = deepcopy(model)
        self.raw = input_type == "uint8"
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.raw:
            x = (x.float() / 255 - self.mean) / self.std
        logits: Tensor = self.model(x)
        return logits


# --- lowered -------------------------------------------------------------------------------------


class Scaled(nn.Module):
    """A layer behind something that can be rescaled, so that scale may move from one to the other."""

    def __init__(self, before: Rescalable, layer: nn.Module, factory: LayerFactory) -> None:
        super().__init__()
        self.before, self.layer, self.factory = before, layer, factory

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(self.before(x))
        return y

    def move_scale(self, factor: Tensor) -> None:
        """Divide the layer's input channels by `factor` (C,), and multiply its weights by it."""
        self.before.rescale(1 / factor)
        self.factory.scale_inputs(self.layer, factor)

    def weight_peaks(self) -> Tensor:
        """Return the largest |weight| of each input channel, (C,)."""
        return self.factory.input_peaks(self.layer)


class LoweredBlock(nn.Module):
    """A block of the reference in the layers of a form, with its norm, gamma and GRN's bias folded."""

    def __init__(self, block: Block, factory: LayerFactory) -> None:
        super().__init__()
        self.dwconv = factory.depthwise(block.dwconv)
        first = factory.pointwise(*fold_normalization(block.pwconv1.weight, block.pwconv1.bias, block.norm))
        second = factory.pointwise(*fold_second_pointwise(block))
        self.pwconv1 = Scaled(factory.norm(block.norm.eps), first, factory)
        self.act = block.act
        grn = block.grn
        self.pwconv2 = Scaled(factory.grn(grn), second, factory) if isinstance(grn, GRN) else second

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pwconv2(self.act(self.pwconv1(self.dwconv(x))))  # 4C channels between the two
        return x + y


class LoweredDownsample(nn.Module):
    """A downsampling layer of the reference in the layers of a form, with its norm folded."""

    def __init__(self, downsample: Downsample, factory: LayerFactory) -> None:
        super().__init__()
        norm, conv = downsample.norm, downsample.conv
        assert conv.bias is not None
        patches = factory.patches(*fold_normalization(conv.weight, conv.bias, norm))
        self.conv = Scaled(factory.norm(norm.eps), patches, factory)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class LoweredStage(nn.Module):
    """A stage of the reference in the layers of a form; the first has no downsampling layer."""

    def __init__(self, stage: Stage, factory: LayerFactory) -> None:
        super().__init__()
        down = stage.downsample
        self.downsample = LoweredDownsample(down, factory) if isinstance(down, Downsample) else nn.Identity()
        blocks = cast(Iterable[Block], stage.blocks)
        self.blocks = nn.Sequential(*(LoweredBlock(block, factory) for block in blocks))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.downsample(x))
        return y


@dataclass(frozen=True)
class Part:
    """A function of the chain that a lowered model is, and the layers with weights that it runs."""

    run: Callable[[Tensor], Tensor]
    layers: tuple[Layer, ...]


class LoweredConvNeXt(nn.Module):
    """A ConvNeXt with every folding done, in the layers of a form."""

    def __init__(
        self, model: ConvNeXt, factory: LayerFactory, preprocessing: Preprocessing, input_type: InputType
    ) -> None:
        super().__init__()
        self.spatial, self.raw = factory.spatial, input_type == "uint8"
        self.stem = factory.stem(*stem_affine(model, preprocessing, input_type))
        self.stem_norm = factory.affine_norm(model.stem.norm)
        stages = cast(Iterable[Stage], model.stages)
        self.stages = nn.Sequential(*(LoweredStage(stage, factory) for stage in stages))
        head = factory.pointwise(*fold_normalization(model.head.weight, model.head.bias, model.norm))
        self.head = Scaled(factory.norm(model.norm.eps), head, factory)

    def forward(self, x: Tensor) -> Tensor:
        return self._end(self.stages(self._begin(x)))

    def _begin(self, x: Tensor) -> Tensor:
        y: Tensor = self.stem_norm(self.stem(x.float() if self.raw else x))  # bytes are 0..255
        return y

    def _end(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.mean(dim=self.spatial, keepdim=True)).flatten(1)  # (N, classes)
        return logits

    def layers(self) -> dict[str, Layer]:
        """Return the layers with weights by name, in the order in which they run."""
        return {layer.name: layer for part in self.parts() for layer in part.layers}

    def parts(self) -> list[Part]:
        """Return the functions that make up the model, in the order in which they run."""
        paths = {module: path for path, module in self.named_modules()}

        def layer(name: str, kind: LayerKind, module: nn.Module) -> Layer:
            multiplication = find_multiplication(module)
            weight_name = f"{paths[multiplication]}.weight"
            return Layer(name, kind, multiplication, weight_name, self.raw and kind == "stem")

        found = [Part(self._begin, (layer("stem", "stem", self.stem),))]
        for number, stage in enumerate(cast(Iterable[LoweredStage], self.stages)):
            if isinstance(down := stage.downsample, LoweredDownsample):
                name = f"stages.{number}.downsample.conv"
                found.append(Part(down, (layer(name, "downsample", down.conv),)))
            for index, block in enumerate(cast(Iterable[LoweredBlock], stage.blocks)):
                name = f"stages.{number}.blocks.{index}"
                depthwise = layer(f"{name}.dwconv", "depthwise", block.dwconv)
                first = layer(f"{name}.pwconv1", "pointwise", block.pwconv1)
                second = layer(f"{name}.pwconv2", "pointwise", block.pwconv2)
                found.append(Part(block, (depthwise, first, second)))
        return [*found, Part(self._end, (layer("head", "head", self.head),))]
