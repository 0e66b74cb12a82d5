"""The values that tell one ConvNeXt from another, and what follows from them; needs no PyTorch.

The words are those of timm's models/convnext.py (github.com/huggingface/pytorch-image-models).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple

from convnext_edge.detection import (
    CASCADED,
    Cascade,
    Detection,
    HeadLayer,
    Widths,
    detector_layers,
    positions,
)
from convnext_edge.upernet import DecoderLayer, decoder_layers

KERNEL = 7  # of the published models' depthwise convolutions
EXPANSION = 4  # the pointwise layers widen C to 4C and narrow it again
STRIDE = 2  # of each downsampling layer between stages
OVERLAP = 3  # edge of the two kernels of an overlapping stem, each of stride 2

Shape = tuple[int, ...]
Stem = Literal["patch", "overlap", "overlap_act"]  # one convolution, two, two with the activation between
NormKind = Literal["layernorm", "simplenorm", "rmsnorm"]  # see `network.norms`
Activation = Literal["gelu", "gelu_tanh", "relu", "silu", "hardswish"]
Pooling = Literal["avg", "max", "avgmax", "catavgmax"]  # as of `network.convnext.pool`
Decoder = Literal["upernet", "mask_rcnn"]  # what makes one answer of the maps of all stages
OF_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


class Step(NamedTuple):
    """How a stage goes over the feature map."""

    stride: int  # of its downsampling layer
    first_dilation: int  # of that layer
    dilation: int  # of the depthwise convolutions


@dataclass(frozen=True)
class Architecture:
    """The values that distinguish one ConvNeXt from another."""

    depths: tuple[int, ...]  # blocks in each stage
    dims: tuple[int, ...]  # channels of each stage
    patch: int = 4  # stride of the stem in pixels; of a stem of one convolution, the edge of its kernel too
    # outputs of the head or of the decoder, be they classes or not; 0 where there is neither
    classes: int = 1000
    grn: bool = False  # True for V2
    layer_scale: bool = True  # whether blocks have a gamma
    channels: int = 3  # of the image
    stem: Stem = "patch"
    stem_width: int = 0  # channels between the two convolutions of an overlapping stem
    downsample_first: bool = False  # whether the first stage has a downsampling layer, as timm's with patch 2
    kernels: tuple[int, ...] = ()  # edges of the depthwise kernels of each stage; () for 7 in all
    conv_bias: bool = True  # whether convolutions have a bias; pointwise layers and the head always do
    norm: NormKind = "layernorm"
    norm_bias: bool = True  # only a LayerNorm may have one
    eps: float = 1e-6  # of all norms but the last
    last_eps: float = 1e-6  # of the last norm
    activation: Activation = "gelu"
    output_stride: int | None = None  # where strides become dilations, as in timm; None: nowhere
    last_norm: bool = True  # whether there is a norm behind the stages
    norm_first: bool = False  # whether it comes before the pooling, as in timm's _hnf models
    pooling: Pooling = "avg"
    hidden: int = 0  # units of the head's hidden layer, as in CLIP's models; 0 where it has none
    head_bias: bool = True
    # What the model answers, in this order: the pooled vector (behind the head, if any), and maps of stages.
    pooled: bool = True
    maps: tuple[int, ...] = ()  # stages whose map is an output
    map_norms: tuple[int, ...] = ()  # stages whose map has a norm of its own
    map_last_norm: bool = False  # whether the last stage's map goes through the last norm, as in DINOv3
    # What takes the maps; the model then answers with what the decoder makes of them, and not with the maps.
    decoder: Decoder | None = None
    decoder_width: int = 0  # channels of its layers
    pool_bins: tuple[int, ...] = ()  # edges of the maps that its pyramid pooling gives
    # Of a detector, whose pyramid has `decoder_width` channels.
    box_width: int = 0  # units of its box head
    mask_width: int = 0  # channels of its mask head
    cascade: Cascade | None = None  # of one with a cascade of heads
    detection: Detection | None = None  # how it finds objects

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernels", self.kernels or (KERNEL,) * len(self.dims))

    @property
    def generation(self) -> str:
        return "v2" if self.grn else "v1"

    @property
    def steps(self) -> tuple[Step, ...]:
        """How each stage goes over the feature map.

        From `output_stride` on, what would be a stride is a dilation, which keeps the size of the map.
        """
        found, reached, dilation = [], self.patch, 1
        for stage in range(len(self.dims)):
            stride = STRIDE if stage or self.downsample_first else 1
            if self.output_stride is not None and reached >= self.output_stride and stride > 1:
                stride, dilation = 1, dilation * stride
            reached *= stride
            found.append(Step(stride, 1 if dilation <= STRIDE else STRIDE, dilation))
        return tuple(found)

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels for one cell of the map of each stage."""
        steps = self.steps
        return tuple(self.patch * prod(step.stride for step in steps[: n + 1]) for n in range(len(steps)))

    @property
    def level_strides(self) -> tuple[int, ...]:
        """Input pixels for one cell of each level of a detector's pyramid, which has one more than maps."""
        return (*self.strides, 2 * self.strides[-1])

    @property
    def stride(self) -> int:
        """Input pixels for one cell of the last map: no edge of an image may be smaller."""
        return max(self.strides, default=self.patch)

    @property
    def pooled_features(self) -> int:
        """Numbers that the pooling leaves of an image."""
        return self.dims[-1] * (2 if self.pooling == "catavgmax" else 1)

    @property
    def outputs(self) -> int:
        """Numbers in the pooled vector: those of the head, or of the pooling where there is none."""
        return self.classes or self.pooled_features

    @property
    def box_heads(self) -> int:
        """Box heads of a detector, and as many mask heads."""
        return CASCADED if self.cascade else 1

    @property
    def params(self) -> int:
        """Number of weights, biases and scales; what a BatchNorm has measured is none."""
        return sum(prod(shape) for name, shape in self.shapes().items() if ".running_" not in name)

    @property
    def fp32_bytes(self) -> int:
        """Bytes of all of these in FP32."""
        return 4 * self.params

    def macs(self, height: int, width: int | None = None) -> int:
        """Count multiply-adds of convolutions and linear layers for one image of height x width pixels.

        width: as the height by default. Counted as the paper's tables count FLOPs (fvcore: one is one).
        """
        size = (height, width or height)
        total, sizes = 0, []
        for kernel, stride, wide, narrow in self._stem():
            rest = 0 if self.stem == "patch" else stride - 1  # a kernel that overlaps takes what is left, too
            size = _strided((size[0] + rest, size[1] + rest), stride)
            total += prod(size) * kernel**2 * wide * narrow
        for stage, (depth, dim, step) in enumerate(zip(self.depths, self.dims, self.steps, strict=True)):
            if self.downsamples(stage):
                size = _strided(size, step.stride)
                total += prod(size) * STRIDE**2 * self._before(stage) * dim
            total += depth * prod(size) * dim * (self.kernels[stage] ** 2 + 2 * EXPANSION * dim)
            sizes.append(size)
        for layer in self.decoder_layers():
            places = layer.bins**2 or prod(sizes[layer.stage])
            total += places * layer.kernel**2 * layer.before * layer.dim
        if self.detection is not None:
            total += sum(
                prod(layer.weight) * positions(layer, sizes, self.detection) for layer in self.head_layers()
            )
        return total + sum(prod(shape) for name, shape in self._head() if name.endswith(".weight"))

    def shapes(self) -> dict[str, Shape]:
        """Return the name and shape of each tensor in the `state_dict()` of the module `ConvNeXt`."""
        shapes: dict[str, Shape] = {}
        for name, (kernel, _, dim, before) in zip(("stem.conv", "stem.conv2"), self._stem(), strict=False):
            shapes |= self._conv(name, dim, before, kernel, kernel)
        shapes |= self._norm("stem.norm", self.dims[0])
        for stage, (depth, dim) in enumerate(zip(self.depths, self.dims, strict=True)):
            if self.downsamples(stage):
                before = self._before(stage)
                shapes |= self._norm(f"stages.{stage}.downsample.norm", before)
                shapes |= self._conv(f"stages.{stage}.downsample.conv", dim, before, STRIDE, STRIDE)
            for block in range(depth):
                shapes |= self._block(f"stages.{stage}.blocks.{block}", dim, self.kernels[stage])
        for stage in self.map_norms:
            shapes |= self._norm(f"map_norms.{stage}", self.dims[stage])
        return shapes | dict(self._head()) | dict(self._decoder())

    def decoder_layers(self) -> tuple[DecoderLayer, ...]:
        """Return the convolutions of UPerNet's decoder in the order in which they run; of others, none."""
        if self.decoder != "upernet":
            return ()
        return tuple(decoder_layers(self.dims, self.decoder_width, self.pool_bins, self.classes))

    def head_layers(self) -> tuple[HeadLayer, ...]:
        """Return the layers of a detector behind the maps in the order in which they run; of others, none."""
        if self.detection is None:
            return ()
        widths = Widths(self.decoder_width, self.box_width, self.mask_width)
        return tuple(detector_layers(self.dims, widths, self.classes, self.detection, self.cascade))

    def downsamples(self, stage: int) -> bool:
        """Return whether a stage begins with a downsampling layer, be it one that keeps the size."""
        return stage > 0 or self.downsample_first

    def _before(self, stage: int) -> int:
        """Return the channels that come into a stage."""
        return self.dims[max(stage - 1, 0)]

    def _stem(self) -> list[tuple[int, int, int, int]]:
        """Return kernel, stride, channels out and channels in of each convolution of the stem."""
        if self.stem == "patch":
            return [(self.patch, self.patch, self.dims[0], self.channels)]
        return [(OVERLAP, 2, self.stem_width, self.channels), (OVERLAP, 2, self.dims[0], self.stem_width)]

    def _head(self) -> Iterator[tuple[str, Shape]]:
        if self.last_norm:
            name, size = ("norm_pre", self.dims[-1]) if self.norm_first else ("norm", self.pooled_features)
            yield from self._norm(name, size).items()
        if self.hidden:
            yield from _layer("hidden", self.hidden, self.pooled_features).items()
        if self.classes and self.decoder is None:
            width = self.hidden or self.pooled_features
            yield from _layer("head", self.classes, width, bias=self.head_bias).items()

    def _decoder(self) -> Iterator[tuple[str, Shape]]:
        for name, kernel, before, dim, *_ in self.decoder_layers():
            weight = (dim, before, kernel, kernel)
            yield from _of_decoder(name, weight, dim, norm=name != "classifier").items()
        for layer in self.head_layers():
            yield from _of_decoder(layer.name, layer.weight, layer.dim, norm=layer.norm).items()

    def _block(self, name: str, dim: int, kernel: int) -> dict[str, Shape]:
        wide = EXPANSION * dim
        shapes = self._conv(f"{name}.dwconv", dim, 1, kernel, kernel)
        shapes |= self._norm(f"{name}.norm", dim)
        shapes |= _layer(f"{name}.pwconv1", wide, dim) | _layer(f"{name}.pwconv2", dim, wide)
        if self.grn:
            shapes |= _layer(f"{name}.grn", wide)
        if self.layer_scale:
            shapes[f"{name}.gamma"] = (dim,)
        return shapes

    def _conv(self, name: str, *weight: int) -> dict[str, Shape]:
        return _layer(name, *weight, bias=self.conv_bias)

    def _norm(self, name: str, dim: int) -> dict[str, Shape]:
        return _layer(name, dim, bias=self.norm_bias)


def _layer(name: str, *weight: int, bias: bool = True) -> dict[str, Shape]:
    """Return the shapes of a weight and of its bias, which has one value for each output channel."""
    return {f"{name}.weight": weight} | ({f"{name}.bias": weight[:1]} if bias else {})


def _of_decoder(name: str, weight: Shape, dim: int, *, norm: bool) -> dict[str, Shape]:
    """Return the shapes of a layer with a bias of `dim`, or with a BatchNorm behind it in its place."""
    if not norm:
        return {f"decoder.{name}.weight": weight, f"decoder.{name}.bias": (dim,)}
    of_norm = {f"decoder.{name}.norm.{part}": (dim,) for part in OF_BATCH_NORM}
    return {f"decoder.{name}.conv.weight": weight} | of_norm


def _strided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return size[0] // stride, size[1] // stride
