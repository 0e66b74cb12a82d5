"""The parts of a lowered ConvNeXt: stem, blocks, downsampling layers and head in the layers of a form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.network.convnext import Block, ConvNeXt, Downsample, OverlapStem, Stage, pool
from convnext_edge.network.foldings import (
    fold_normalization,
    fold_second_pointwise,
    image_statistics,
    stem_affine,
)
from convnext_edge.network.forms import LayerFactory, Rescalable, bias_of, copied
from convnext_edge.network.layers import LayerKind, find_multiplication
from convnext_edge.network.norms import GRN


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


class Normalized(nn.Module):
    """Raw bytes (N, channels, H, W) as the normalized floats that the reference takes."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        mean, std = image_statistics(preprocessing)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        return (x.float() / 255 - self.mean) / self.std


class LoweredStem(nn.Module):
    """The stem of patches: (N, channels, H, W) to the form's layout, bytes folded into the convolution."""

    def __init__(
        self, model: ConvNeXt, factory: LayerFactory, preprocessing: Preprocessing, input_type: InputType
    ) -> None:
        super().__init__()
        self.reads_bytes = input_type == "uint8"
        affine = stem_affine(model, preprocessing, input_type)
        # bytes are multiplied in INT8, of which ONNX Runtime has no convolution that gives floats; and it
        # fuses no RMSNorm behind the transpose of a convolution
        rows = self.reads_bytes or model.stem.norm.kind == "rmsnorm"
        self.conv = factory.stem(*affine, as_rows=rows)
        # it feeds the residual path as well, and so keeps what it multiplies and adds
        self.norm = factory.norm(model.stem.norm, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x.float() if self.reads_bytes else x))  # bytes are 0..255
        return y


class LoweredOverlapStem(nn.Module):
    """The stem of two convolutions: (N, channels, H, W) to the form's layout.

    Bytes are normalized before: zeros that pad the image stand for the mean, which is no whole byte.
    """

    reads_bytes = False

    def __init__(
        self, stem: OverlapStem, factory: LayerFactory, preprocessing: Preprocessing, input_type: InputType
    ) -> None:
        super().__init__()
        self.normalized = Normalized(preprocessing) if input_type == "uint8" else nn.Identity()
        self.conv, self.act, self.conv2 = copied(stem.conv), stem.act, copied(stem.conv2)
        self.norm = factory.norm(stem.norm, affine=True)
        self.factory = factory

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.act(self.conv(self.normalized(x))))  # (N, C, H / 4, W / 4)
        y: Tensor = self.norm(self.factory.arrange(x))
        return y


class LoweredBlock(nn.Module):
    """A block of the reference in the layers of a form, with its norm, gamma and GRN's bias folded."""

    def __init__(self, block: Block, factory: LayerFactory) -> None:
        super().__init__()
        self.dwconv = factory.convolution(block.dwconv)
        if block.norm.kind == "layernorm":
            centre_bias(self.dwconv)
        first = factory.pointwise(*fold_normalization(block.pwconv1, block.norm))
        second = factory.pointwise(*fold_second_pointwise(block))
        norm = factory.norm(block.norm, affine=False)
        norm.follow(self.dwconv)
        self.pwconv1 = Scaled(norm, first, factory)
        self.act = block.act
        grn = block.grn
        self.pwconv2 = Scaled(factory.grn(grn.weight), second, factory) if isinstance(grn, GRN) else second

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pwconv2(self.act(self.pwconv1(self.dwconv(x))))  # 4C channels between the two
        return x + y

    def layers(self) -> tuple[tuple[str, LayerKind, nn.Module], ...]:
        """Return name, kind and module of each layer with weights, in the order in which they run."""
        return (
            ("dwconv", "depthwise", self.dwconv),
            ("pwconv1", "pointwise", self.pwconv1),
            ("pwconv2", "pointwise", self.pwconv2),
        )


def centre_bias(convolution: nn.Module) -> None:
    """Make the mean of a convolution's biases 0, as a LayerNorm behind it does.

    A large mean of all channels would leave few digits for their differences.
    """
    bias = find_multiplication(convolution).bias
    assert bias is not None  # every layer of a lowered model has one
    bias.data = bias.data - bias.data.mean()


class LoweredDownsample(nn.Module):
    """A downsampling layer of the reference in the layers of a form, with its norm folded.

    Where zeros are padded between the two, the norm keeps what it adds.
    """

    def __init__(self, downsample: Downsample, factory: LayerFactory) -> None:
        super().__init__()
        norm, conv = downsample.norm, downsample.conv
        self.conv: nn.Module
        if downsample.padding is None:
            patches = factory.patches(*fold_normalization(conv, norm))
            self.conv = Scaled(factory.norm(norm, affine=False), patches, factory)
        else:
            padded = factory.convolution(conv, downsample.padding)
            self.conv = nn.Sequential(factory.norm(norm, affine=True), padded)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class LoweredStage(nn.Module):
    """A stage of the reference in the layers of a form; most models' first has no downsampling layer."""

    def __init__(self, stage: Stage, factory: LayerFactory) -> None:
        super().__init__()
        down = stage.downsample
        self.downsample = LoweredDownsample(down, factory) if isinstance(down, Downsample) else nn.Identity()
        blocks = cast(Iterable[Block], stage.blocks)
        self.blocks = nn.Sequential(*(LoweredBlock(block, factory) for block in blocks))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.downsample(x))
        return y


class LoweredHead(nn.Module):
    """What the reference does behind its stages: norm, pooling, hidden layer and head, each if it has it.

    Takes the last map in the form's layout, returns (N, outputs).
    """

    def __init__(self, model: ConvNeXt, factory: LayerFactory) -> None:
        super().__init__()
        architecture = model.architecture
        self.pooling, self.spatial, self.axis = architecture.pooling, factory.spatial, factory.axis
        keeps = architecture.last_norm and architecture.norm_first
        self.norm_pre = factory.norm(model.norm_pre, affine=True) if keeps else nn.Identity()
        folds = architecture.last_norm and not architecture.norm_first
        layers = [model.hidden] if architecture.hidden else []
        layers += [model.head] if architecture.classes else []
        pairs = [(layer.weight, bias_of(layer)) for layer in layers]
        if folds and layers:
            pairs[0] = fold_normalization(layers[0], model.norm)
        made: list[nn.Module] = [factory.pointwise(*pair) for pair in pairs]
        if folds and made:
            made[0] = Scaled(factory.norm(model.norm, affine=False), made[0], factory)
        self.norm = factory.norm(model.norm, affine=True) if folds and not made else nn.Identity()
        self.hidden = made.pop(0) if architecture.hidden else None
        self.head = made.pop(0) if made else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(pool(self.norm_pre(x), self.pooling, spatial=self.spatial, axis=self.axis))
        if self.hidden is not None:
            x = F.gelu(self.hidden(x))
        if self.head is not None:
            x = self.head(x)
        return torch.flatten(x, 1)


class LoweredMap(nn.Module):
    """A stage's map as an output: from the form's layout, perhaps through a norm, to (N, C, H, W)."""

    def __init__(self, model: ConvNeXt, stage: int, factory: LayerFactory) -> None:
        super().__init__()
        norm = model.map_norm(stage)
        self.norm = nn.Identity() if norm is None else factory.norm(norm, affine=True)
        self.factory = factory

    def forward(self, x: Tensor) -> Tensor:
        return self.factory.restore(self.norm(x))
