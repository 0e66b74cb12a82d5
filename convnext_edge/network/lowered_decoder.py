"""UPerNet's decoder with its BatchNorms folded: convolutions of (N, C, H, W) in all forms."""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from convnext_edge.network.foldings import fold_batch_norm
from convnext_edge.network.forms import convolution
from convnext_edge.network.upernet import ConvNormReLU, UPerNet


def fold_decoder(decoder: UPerNet) -> UPerNet:
    """Return a copy of a decoder whose layers are a convolution with a bias, and a ReLU."""
    folded = deepcopy(decoder)
    for name, layer in decoder.layers():
        if isinstance(layer, ConvNormReLU):
            folded.set_submodule(name, _folded(layer))
    return folded


def _folded(layer: ConvNormReLU) -> nn.Sequential:
    padding = layer.conv.kernel_size[0] // 2
    return nn.Sequential(convolution(*fold_batch_norm(layer), padding=padding), nn.ReLU())
