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

from typing import Literal

import torch
from torch import Tensor, nn

from convnext_edge.model.convnext import GRN, Block, ConvNeXt, Downsample, Stage
from convnext_edge.model.forms import FORMS, Layers
from convnext_edge.preprocessing import Preprocessing

Form = Literal["plain", "linear", "conv"]
InputType = Literal["float32", "uint8"]


def lower(model: ConvNeXt, form: Form, *, preprocessing: Preprocessing, input_type: InputType = "float32") -> nn.Module:
    """The same function as `model` in another form, in eval mode; `model` is left as it is.

    Takes (N, 3, H, W): float32 normalized as `preprocessing` says, or raw RGB bytes where `input_type`
    is "uint8". Returns (N, classes) float32 logits.
    """
    lowered: nn.Module
    if form == "plain":
        lowered = Plain(model, preprocessing, input_type)
    else:
        lowered = LoweredConvNeXt(model, FORMS[form], preprocessing, input_type)
    return lowered.eval().requires_grad_(False)


# --- foldings: pairs of (weight, bias) -----------------------------------------------------------

Affine = tuple[Tensor, Tensor]


def fold_normalization(weight: Tensor, bias: Tensor, norm: nn.LayerNorm) -> Affine:
    """Absorb what LayerNorm multiplies and adds. weight: (out, in, ...) with `in` normalized."""
    scale = norm.weight.view(1, -1, *[1] * (weight.ndim - 2))
    shift = norm.bias.view(1, -1, *[1] * (weight.ndim - 2))
    return weight * scale, bias + (weight * shift).flatten(1).sum(1)


def fold_second_pointwise(block: Block) -> Affine:
    """Absorb GRN's bias before the layer and gamma behind it. Returns weight (C, 4C) and bias (C,)."""
    weight, bias = block.pwconv2.weight, block.pwconv2.bias
    if isinstance(block.grn, GRN):
        bias = bias + weight @ block.grn.bias
    if block.gamma is not None:
        weight, bias = weight * block.gamma[:, None], bias * block.gamma
    return weight, bias


def fold_image(weight: Tensor, bias: Tensor, preprocessing: Preprocessing) -> Affine:
    """Absorb (x / 255 - mean) / std. weight: (C, 3, patch, patch) for values in 0..255."""
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    return weight / (255 * std), bias - (weight * mean / std).flatten(1).sum(1)


def stem_affine(model: ConvNeXt, preprocessing: Preprocessing, input_type: InputType) -> Affine:
    weight, bias = model.stem.conv.weight, model.stem.conv.bias
    assert bias is not None
    return fold_image(weight, bias, preprocessing) if input_type == "uint8" else (weight, bias)


# --- plain ---------------------------------------------------------------------------------------


class Plain(nn.Module):
    """The reference as it is, behind the image normalization where the input is raw bytes."""

    def __init__(self, model: ConvNeXt, preprocessing: Preprocessing, input_type: InputType) -> None:
        super().__init__()
        self.model = model
        self.raw = input_type == "uint8"
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.raw:
            x = (x.float() / 255 - self.mean) / self.std
        return self.model(x)


# --- lowered -------------------------------------------------------------------------------------


class LoweredBlock(nn.Module):
    def __init__(self, block: Block, layers: Layers) -> None:
        super().__init__()
        self.layers, self.eps = layers, block.norm.eps
        self.dwconv = layers.depthwise(block.dwconv)
        self.pwconv1 = layers.pointwise(*fold_normalization(block.pwconv1.weight, block.pwconv1.bias, block.norm))
        self.act = block.act
        self.grn = layers.grn(block.grn) if isinstance(block.grn, GRN) else nn.Identity()
        self.pwconv2 = layers.pointwise(*fold_second_pointwise(block))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers.normalize(self.dwconv(x), self.eps)
        y = self.grn(self.act(self.pwconv1(y)))  # 4C channels
        return x + self.pwconv2(y)


class LoweredDownsample(nn.Module):
    def __init__(self, downsample: Downsample, layers: Layers) -> None:
        super().__init__()
        norm, conv = downsample.norm, downsample.conv
        assert conv.bias is not None
        self.layers, self.eps = layers, norm.eps
        self.conv = layers.patches(*fold_normalization(conv.weight, conv.bias, norm))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.layers.normalize(x, self.eps))


class LoweredStage(nn.Module):
    def __init__(self, stage: Stage, layers: Layers) -> None:
        super().__init__()
        down = stage.downsample
        self.downsample = LoweredDownsample(down, layers) if isinstance(down, Downsample) else nn.Identity()
        self.blocks = nn.Sequential(*(LoweredBlock(block, layers) for block in stage.blocks))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


class LoweredConvNeXt(nn.Module):
    """A ConvNeXt with every folding done, in the layers of a form. Names are those of the reference."""

    def __init__(self, model: ConvNeXt, layers: Layers, preprocessing: Preprocessing, input_type: InputType) -> None:
        super().__init__()
        self.layers, self.raw, self.eps = layers, input_type == "uint8", model.norm.eps
        self.stem = layers.stem(*stem_affine(model, preprocessing, input_type))
        self.stem_norm = layers.affine_norm(model.stem.norm)
        self.stages = nn.Sequential(*(LoweredStage(stage, layers) for stage in model.stages))
        self.head = layers.pointwise(*fold_normalization(model.head.weight, model.head.bias, model.norm))

    def forward(self, x: Tensor) -> Tensor:
        if self.raw:
            x = x.float()  # 0..255
        x = self.stages(self.stem_norm(self.stem(x)))
        x = x.mean(dim=self.layers.spatial, keepdim=True)
        return self.head(self.layers.normalize(x, self.eps)).flatten(1)  # (N, classes)
