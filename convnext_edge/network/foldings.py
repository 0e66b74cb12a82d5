"""What a lowered model folds into the weights of its layers: pairs of weight and bias, free of loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.network.conv_norm import BATCH_NORM_EPS, ConvNormReLU
from convnext_edge.network.convnext import Block, ConvNeXt
from convnext_edge.network.forms import bias_of, convolution, copied
from convnext_edge.network.norms import GRN, Norm

Affine = tuple[Tensor, Tensor]
Dense = Callable[[nn.Conv2d], nn.Module]  # makes a convolution, as `LayerFactory.dense` does


def fold_normalization(layer: nn.Conv2d | nn.Linear, norm: Norm) -> Affine:
    """Absorb what a norm multiplies and adds into the layer behind it, (out, in, ...) and (out,)."""
    weight, bias = layer.weight, bias_of(layer)
    shape = (1, -1, *[1] * (weight.ndim - 2))
    if norm.bias is not None:
        bias = bias + (weight * norm.bias.view(shape)).flatten(1).sum(1)
    return weight * norm.weight.view(shape), bias


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
    """Absorb (x / 255 - mean) / std. Returns weight (C, channels, kh, kw) for values in 0..255, and bias."""
    mean, std = image_statistics(preprocessing)
    return weight / (255 * std), bias - (weight * mean / std).flatten(1).sum(1)


def fold_batch_norm(layer: ConvNormReLU) -> Affine:
    """Absorb a BatchNorm into the convolution before it. Returns weight (out, in, kh, kw) and bias (out,)."""
    norm = layer.norm
    scale = norm.weight / torch.sqrt(norm.running_var + BATCH_NORM_EPS)
    return layer.conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


def folded_layer(layer: nn.Module, dense: Dense = copied) -> nn.Module:
    """Return a convolution of a decoder, the BatchNorm behind it in its weights, and ReLU, where it has them.

    dense: makes the convolution.
    """
    if not isinstance(layer, ConvNormReLU):
        return dense(cast(nn.Conv2d, layer))
    padding = layer.conv.kernel_size[0] // 2
    return nn.Sequential(dense(convolution(*fold_batch_norm(layer), padding=padding)), nn.ReLU())


def turn_channels(model: ConvNeXt) -> None:
    """Let a model of BGR images take RGB, or the other way round, to the same answers."""
    with torch.no_grad():
        model.stem.conv.weight.copy_(model.stem.conv.weight.flip(1))


def stem_affine(model: ConvNeXt, preprocessing: Preprocessing, input_type: InputType) -> Affine:
    """Return the weight (C, channels, patch, patch) and bias (C,) of a stem of patches, for `input_type`."""
    weight, bias = model.stem.conv.weight, bias_of(model.stem.conv)
    return fold_image(weight, bias, preprocessing) if input_type == "uint8" else (weight, bias)


def image_statistics(preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the pixels in 0..1, each (1, channels, 1, 1)."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return mean, std
