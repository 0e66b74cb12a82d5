"""The numbers that tell one ConvNeXt from another, and what follows from them; needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

KERNEL = 7  # of the depthwise convolution; padding 3 keeps H and W
EXPANSION = 4  # the pointwise layers widen C to 4C and narrow it again
STRIDE = 2  # of each downsampling layer between stages

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """The numbers that distinguish one ConvNeXt from another."""

    depths: tuple[int, ...]  # blocks in each stage
    dims: tuple[int, ...]  # channels of each stage
    patch: int = 4  # edge and stride of the stem, in pixels
    classes: int = 1000  # outputs of the head
    grn: bool = False  # True for V2
    # False for a V1 whose blocks have no gamma, and always for V2, where GRN stands in its place
    layer_scale: bool = True

    def __post_init__(self) -> None:
        if self.grn:
            object.__setattr__(self, "layer_scale", False)

    @property
    def generation(self) -> str:
        return "v2" if self.grn else "v1"

    @property
    def stride(self) -> int:
        """Input pixels for one cell of the last feature map: a resolution must be a multiple of it."""
        return self.patch * int(STRIDE ** (len(self.dims) - 1))

    @property
    def params(self) -> int:
        """Number of weights, biases and scales."""
        return sum(prod(shape) for shape in self.shapes().values())

    def macs(self, resolution: int) -> int:
        """Count multiply-adds of convolutions and linear layers for one image of `resolution` pixels square.

        Counted as the paper's tables count FLOPs (fvcore: one multiply-add is one).
        """
        edge = resolution // self.patch
        total = edge**2 * self.patch**2 * 3 * self.dims[0]
        for stage, (depth, dim) in enumerate(zip(self.depths, self.dims, strict=True)):
            if stage:
                edge //= STRIDE
                total += edge**2 * STRIDE**2 * self.dims[stage - 1] * dim
            total += depth * edge**2 * dim * (KERNEL**2 + 2 * EXPANSION * dim)
        return total + self.dims[-1] * self.classes

    def shapes(self) -> dict[str, Shape]:
        """Return the name and shape of each tensor in the `state_dict()` of the module `ConvNeXt`."""
        shapes = _layer("stem.conv", self.dims[0], 3, self.patch, self.patch)
        shapes |= _layer("stem.norm", self.dims[0])
        for stage, (depth, dim) in enumerate(zip(self.depths, self.dims, strict=True)):
            if stage:
                before = self.dims[stage - 1]
                shapes |= _layer(f"stages.{stage}.downsample.norm", before)
                shapes |= _layer(f"stages.{stage}.downsample.conv", dim, before, STRIDE, STRIDE)
            for block in range(depth):
                shapes |= self._block_shapes(f"stages.{stage}.blocks.{block}", dim)
        return shapes | _layer("norm", self.dims[-1]) | _layer("head", self.classes, self.dims[-1])

    def _block_shapes(self, name: str, dim: int) -> dict[str, Shape]:
        wide = EXPANSION * dim
        shapes = _layer(f"{name}.dwconv", dim, 1, KERNEL, KERNEL)
        shapes |= _layer(f"{name}.norm", dim)
        shapes |= _layer(f"{name}.pwconv1", wide, dim) | _layer(f"{name}.pwconv2", dim, wide)
        if self.grn:
            shapes |= _layer(f"{name}.grn", wide)
        if self.layer_scale:
            shapes[f"{name}.gamma"] = (dim,)
        return shapes


def _layer(name: str, *weight: int) -> dict[str, Shape]:
    """Return the shapes of a weight and of its bias, which has one value for each output channel."""
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}
