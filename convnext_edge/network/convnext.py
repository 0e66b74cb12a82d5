"""ConvNeXt V1 and V2 as one module: the FP32 reference that everything else is held against.

Sources: "A ConvNet for the 2020s" (Liu et al., 2022, arXiv:2201.03545) for V1 and
"ConvNeXt V2" (Woo et al., 2023, arXiv:2301.00808) for V2, whose blocks carry a global response
normalization (GRN) in place of the layer scale. What models of timm have beyond the papers, as other stems
and norms, follows timm.

Shapes in the comments: N images, C channels, H and W rows and columns of the feature map.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.architecture import EXPANSION, OVERLAP, STRIDE, Activation, Architecture, Decoder, Pooling
from convnext_edge.network.conv_norm import BatchNorm
from convnext_edge.network.mask_rcnn import MaskRCNN
from convnext_edge.network.norms import GRN, ChannelNorm, Norm
from convnext_edge.network.upernet import UPerNet

INITIAL_LAYER_SCALE = 1e-6  # the branches start as almost nothing (appendix A.1 of V1)

Outputs = Tensor | tuple[Tensor, ...]  # one tensor where the model answers with one

ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}
DECODERS: dict[Decoder, type[UPerNet | MaskRCNN]] = {"upernet": UPerNet, "mask_rcnn": MaskRCNN}


class Block(nn.Module):
    """Depthwise, norm, pointwise to 4C, activation, (GRN,) pointwise to C, (layer scale,) residual sum.

    `gamma`, the layer scale, is None where a block has none, as in V2.
    """

    def __init__(self, architecture: Architecture, stage: int) -> None:
        super().__init__()
        dim, kernel = architecture.dims[stage], architecture.kernels[stage]
        dilation = architecture.steps[stage].dilation
        self.dwconv = nn.Conv2d(
            dim,
            dim,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=dim,
            bias=architecture.conv_bias,
        )
        self.norm = Norm(dim, architecture.norm, eps=architecture.eps, bias=architecture.norm_bias)
        self.pwconv1 = nn.Linear(dim, EXPANSION * dim)
        self.act: nn.Module = ACTIVATIONS[architecture.activation]()
        self.grn = GRN(EXPANSION * dim) if architecture.grn else nn.Identity()
        self.pwconv2 = nn.Linear(EXPANSION * dim, dim)
        start = torch.full((dim,), INITIAL_LAYER_SCALE)
        self.gamma = nn.Parameter(start) if architecture.layer_scale else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dwconv(x)
        y = self.norm(y.permute(0, 2, 3, 1))  # (N, C, H, W) -> (N, H, W, C)
        y = self.grn(self.act(self.pwconv1(y)))  # (N, H, W, 4C)
        y = self.pwconv2(y)  # (N, H, W, C)
        if self.gamma is not None:
            y = self.gamma * y
        return x + y.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


class Stem(nn.Module):
    """Patches to the first stage's channels, without overlap: stride `patch`, no padding."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        dim, patch = architecture.dims[0], architecture.patch
        self.conv = nn.Conv2d(architecture.channels, dim, patch, stride=patch, bias=architecture.conv_bias)
        self.norm = channel_norm(architecture, dim)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.norm(self.conv(x))  # (N, C, H / patch, W / patch)
        return patches


class OverlapStem(nn.Module):
    """Two 3x3 convolutions of stride 2 that overlap, perhaps with the activation between."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, dim, bias = architecture.stem_width, architecture.dims[0], architecture.conv_bias
        self.conv = nn.Conv2d(architecture.channels, width, OVERLAP, stride=2, padding=1, bias=bias)
        between = ACTIVATIONS[architecture.activation] if architecture.stem == "overlap_act" else nn.Identity
        self.act = between()
        self.conv2 = nn.Conv2d(width, dim, OVERLAP, stride=2, padding=1, bias=bias)
        self.norm = channel_norm(architecture, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv2(self.act(self.conv(x))))  # (N, C, ceil(H / 4), ceil(W / 4))
        return y


class Downsample(nn.Module):
    """A norm, then a 2x2 convolution of stride 2.

    Where a dilation has taken the place of the stride, zeros are padded so that the map keeps its size, as
    TensorFlow's "same" does: of an odd number, one more behind.
    """

    def __init__(self, architecture: Architecture, stage: int) -> None:
        super().__init__()
        before, dim = architecture.dims[max(stage - 1, 0)], architecture.dims[stage]
        stride, dilation, _ = architecture.steps[stage]
        self.norm = channel_norm(architecture, before)
        self.padding = same_padding(dilation) if stride == 1 else None
        self.conv = nn.Conv2d(
            before, dim, STRIDE, stride=stride, dilation=dilation, bias=architecture.conv_bias
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        y: Tensor = self.conv(x if self.padding is None else F.pad(x, self.padding))
        return y  # (N, C, H / stride, W / stride)


class Stage(nn.Module):
    """A downsampling layer (of most models, the first stage has none) and the blocks of stage `index`."""

    def __init__(self, architecture: Architecture, index: int) -> None:
        super().__init__()
        down = architecture.downsamples(index)
        self.downsample = Downsample(architecture, index) if down else nn.Identity()
        self.blocks = nn.Sequential(*(Block(architecture, index) for _ in range(architecture.depths[index])))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.downsample(x))
        return y


class ConvNeXt(nn.Module):
    """A ConvNeXt: (N, channels, H, W) normalized float images -> what `architecture` says that it answers.

    That is the pooled vector (N, outputs), such as the logits of a classifier, and then the map (N, C, H / s,
    W / s) of each stage in `maps`, where s is the stage's stride; or what a decoder makes of the maps, the
    logits (N, classes, H, W) of each pixel. H and W are
    `architecture.stride` at least; what strides do not divide is cut off.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.stem = Stem(architecture) if architecture.stem == "patch" else OverlapStem(architecture)
        self.stages = nn.Sequential(*(Stage(architecture, i) for i in range(len(architecture.dims))))
        self.map_norms = nn.ModuleDict(
            {str(i): channel_norm(architecture, architecture.dims[i]) for i in architecture.map_norms}
        )
        eps, first = architecture.last_eps, architecture.norm_first
        if architecture.last_norm and first:
            self.norm_pre = channel_norm(architecture, architecture.dims[-1], eps)
        elif architecture.last_norm:
            features = architecture.pooled_features
            self.norm = Norm(features, architecture.norm, eps=eps, bias=architecture.norm_bias)
        if architecture.hidden:
            self.hidden = nn.Linear(architecture.pooled_features, architecture.hidden)
        if architecture.decoder:
            self.decoder = DECODERS[architecture.decoder](architecture)
        elif architecture.classes:
            width = architecture.hidden or architecture.pooled_features
            self.head = nn.Linear(width, architecture.classes, bias=architecture.head_bias)

    def forward(self, x: Tensor) -> Outputs:
        last, maps = self.feature_maps(x)
        if self.architecture.decoder:
            return self.decoder(maps, (x.shape[2], x.shape[3]))  # type: ignore[no-any-return]
        vector = [self._vector(last)] if self.architecture.pooled else []
        outputs = (*vector, *maps)
        return outputs[0] if len(outputs) == 1 else outputs

    def feature_maps(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the last stage's map (N, C, H, W) without a norm, and those of the stages in `maps`."""
        maps = []
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            x = stage(x)  # (N, C, H / stride, W / stride)
            if index in self.architecture.maps:
                norm = self.map_norm(index)
                maps.append(x if norm is None else over_channels(norm, x))
        return x, maps

    def _vector(self, x: Tensor) -> Tensor:
        """Return the pooled vector (N, outputs) of the last map (N, C, H, W)."""
        architecture = self.architecture
        if architecture.last_norm and architecture.norm_first:
            x = self.norm_pre(x)
        x = pool(x, architecture.pooling, spatial=(2, 3), axis=1).flatten(1)
        if architecture.last_norm and not architecture.norm_first:
            x = self.norm(x)
        if architecture.hidden:
            x = F.gelu(self.hidden(x))
        return self.head(x) if architecture.classes else x

    def map_norm(self, stage: int) -> Norm | None:
        """Return the norm that a stage's map goes through where it is an output, if any."""
        architecture, last = self.architecture, stage == len(self.stages) - 1
        if stage in architecture.map_norms:
            norm = self.map_norms[str(stage)]
            assert isinstance(norm, Norm)
            return norm
        if last and architecture.last_norm and architecture.norm_first:
            return self.norm_pre
        return self.norm if last and architecture.last_norm and architecture.map_last_norm else None


def part_of(model: ConvNeXt, architecture: Architecture) -> ConvNeXt:
    """Return the part of a model that another architecture is of, with the same weights, in eval mode."""
    with torch.device("meta"):
        part = ConvNeXt(architecture)
    state = model.state_dict()
    part.load_state_dict({name: state[name] for name in architecture.shapes()}, assign=True)
    return part.eval()


def as_tuple(outputs: Outputs) -> tuple[Tensor, ...]:
    """Return the outputs of a model as a tuple, be it one or several."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def channel_norm(architecture: Architecture, dim: int, eps: float | None = None) -> ChannelNorm:
    """Return the architecture's norm over `dim` channels of (N, C, H, W)."""
    eps = architecture.eps if eps is None else eps
    return ChannelNorm(dim, architecture.norm, eps=eps, bias=architecture.norm_bias)


def over_channels(norm: Norm, x: Tensor) -> Tensor:
    """Return (N, C, H, W) normalized over its channels, whichever axis the norm is of."""
    if isinstance(norm, ChannelNorm):
        return norm(x)  # type: ignore[no-any-return]
    y: Tensor = norm(x.permute(0, 2, 3, 1))  # (N, H, W, C)
    return y.permute(0, 3, 1, 2)


def pool(x: Tensor, pooling: Pooling, *, spatial: tuple[int, int], axis: int) -> Tensor:
    """Reduce the spatial axes of a map to 1: to its mean, its maximum, half of both, or both behind another.

    axis: of the channels, which the last of these doubles.
    """
    match pooling:
        case "avg":
            return x.mean(dim=spatial, keepdim=True)
        case "max":
            return x.amax(dim=spatial, keepdim=True)
    both = x.mean(dim=spatial, keepdim=True), x.amax(dim=spatial, keepdim=True)
    return torch.cat(both, dim=axis) if pooling == "catavgmax" else 0.5 * (both[0] + both[1])


def same_padding(dilation: int) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom zeros that keep the size under a 2x2 kernel of stride 1."""
    before = dilation // 2
    return before, dilation - before, before, dilation - before


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
            case nn.Conv2d() | nn.ConvTranspose2d() | nn.Linear():
                nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
                if layer.bias is not None:
                    nn.init.uniform_(layer.bias, *_bias_range(layer.weight), generator=generator)
            case BatchNorm():
                layer.reset()
            case Norm():
                nn.init.ones_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
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
