"""ConvNeXt V1 and V2 as one module: the FP32 reference that everything else is held against.

Sources: "A ConvNet for the 2020s" (Liu et al., 2022, arXiv:2201.03545) for V1 and
"ConvNeXt V2" (Woo et al., 2023, arXiv:2301.00808) for V2, whose blocks carry a global response
normalization (GRN) in place of the layer scale.

Shapes in the comments: N images, C channels, H and W rows and columns of the feature map.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.network.architecture import EXPANSION, KERNEL, STRIDE, Architecture

EPS = 1e-6
INITIAL_LAYER_SCALE = 1e-6  # the branches start as almost nothing (appendix A.1 of V1)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of an (N, C, H, W) tensor."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


class GRN(nn.Module):
    """Global response normalization of an (N, H, W, C) tensor (ConvNeXt V2, equation 1 to 3)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        norms: Tensor = x.norm(p=2, dim=(1, 2), keepdim=True)  # (N, 1, 1, C)
        relative = norms / (norms.mean(dim=-1, keepdim=True) + EPS)  # (N, 1, 1, C)
        return self.weight * (x * relative) + self.bias + x


class Block(nn.Module):
    """Depthwise 7x7, LayerNorm, pointwise to 4C, GELU, (GRN,) pointwise to C, (layer scale,) residual sum.

    `gamma`, the layer scale, is None in V2 and in a V1 that has none.
    """

    def __init__(self, dim: int, *, grn: bool, layer_scale: bool) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, KERNEL, padding=KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.pwconv1 = nn.Linear(dim, EXPANSION * dim)
        self.act: nn.Module = nn.GELU()
        self.grn = GRN(EXPANSION * dim) if grn else nn.Identity()
        self.pwconv2 = nn.Linear(EXPANSION * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), INITIAL_LAYER_SCALE)) if layer_scale else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dwconv(x)
        y = self.norm(y.permute(0, 2, 3, 1))  # (N, C, H, W) -> (N, H, W, C)
        y = self.grn(self.act(self.pwconv1(y)))  # (N, H, W, 4C)
        y = self.pwconv2(y)  # (N, H, W, C)
        if self.gamma is not None:
            y = self.gamma * y
        return x + y.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


class Stem(nn.Module):
    """Non-overlapping patches to the first stage's channels: stride `patch`, no padding."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, dim, patch, stride=patch)
        self.norm = ChannelNorm(dim, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.norm(self.conv(x))  # (N, C, H / patch, W / patch)
        return patches


class Downsample(nn.Module):
    """LayerNorm, then a 2x2 convolution of stride 2."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(dim_in, eps=EPS)
        self.conv = nn.Conv2d(dim_in, dim_out, STRIDE, stride=STRIDE)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.conv(self.norm(x))  # (N, dim_out, H / 2, W / 2)
        return halved


class Stage(nn.Module):
    """A downsampling layer (the first stage has none) and the blocks of stage `index`."""

    def __init__(self, architecture: Architecture, index: int) -> None:
        super().__init__()
        dim, grn, layer_scale = architecture.dims[index], architecture.grn, architecture.layer_scale
        self.downsample = Downsample(architecture.dims[index - 1], dim) if index else nn.Identity()
        blocks = (Block(dim, grn=grn, layer_scale=layer_scale) for _ in range(architecture.depths[index]))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.downsample(x))
        return y


class ConvNeXt(nn.Module):
    """Classifier: (N, 3, H, W) normalized float images -> (N, classes) logits.

    H and W are multiples of `architecture.stride`.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.stem = Stem(architecture.dims[0], architecture.patch)
        self.stages = nn.Sequential(*(Stage(architecture, i) for i in range(len(architecture.dims))))
        self.norm = nn.LayerNorm(architecture.dims[-1], eps=EPS)
        self.head = nn.Linear(architecture.dims[-1], architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))  # (N, C, H / stride, W / stride)
        x = x.mean(dim=(2, 3))  # (N, C)
        logits: Tensor = self.head(self.norm(x))
        return logits


def random_model(architecture: Architecture, seed: int) -> ConvNeXt:
    """Return a model with the weights that PyTorch draws for new layers, from random numbers of its own.

    Layers draw from those of the process where nothing else is said, and other threads with them.
    """
    with torch.device("meta"):
        model = ConvNeXt(architecture)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        match layer:
            case nn.Conv2d() | nn.Linear():
                nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
                assert layer.bias is not None  # all layers of a ConvNeXt have one
                nn.init.uniform_(layer.bias, *_bias_range(layer.weight), generator=generator)
            case nn.LayerNorm():
                layer.reset_parameters()
            case GRN():
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
            case Block(gamma=nn.Parameter() as gamma):
                nn.init.constant_(gamma, INITIAL_LAYER_SCALE)
    return model.eval()


def _bias_range(weight: Tensor) -> tuple[float, float]:
    """Return the range of a bias that PyTorch draws beside a weight (out, in, ...)."""
    edge = 1 / math.sqrt(weight[0].numel())
    return -edge, edge
