"""The road of the ConvNeXt paper from ResNet-50 to ConvNeXt-T, a network for each step.

"A ConvNet for the 2020s" (Liu et al., 2022, arXiv:2201.03545), section 2 and figure 2; GFLOPs and top-1 are
those of its table 10, where a FLOP is a multiplication with its addition. The authors published code of the
last network alone. What their text leaves open is as in ResNet until the step that names it:

* blocks end in an activation behind the sum until "fewer activations", which leaves the stem none, either;
* the shortcuts that change the number of channels, and the stem, have a norm until "fewer norms";
* from "BN to LN" on, the pointwise layers are linear layers over the last axis, as in the authors' code.

Layer scale, which the paper's training puts into every network, is left out: it is folded into a convolution
before a network is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from convnext_edge.network.norms import ChannelNorm, Norm

CLASSES = 1000
EXPANSION = 4  # between the narrow and the wide layers of a block


@dataclass(frozen=True)
class Step:
    """A network on the road, and what the paper says of it."""

    name: str
    gflops: float  # of table 10
    top1: float  # of table 10, in percent: the mean of three trainings
    kept: bool = True  # whether the next step starts from it
    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks in each stage
    width: int = 64  # channels of the first stage: its narrow layers', or from "inverted" on the block's own
    patchify: bool = False  # the stem is a 4x4 convolution of stride 4
    depthwise: bool = False
    inverted: bool = False  # blocks are wide inside
    moved_up: bool = False  # the depthwise convolution is the first of its block
    kernel: int = 3
    activation: Literal["relu", "gelu"] = "relu"
    fewer_activations: bool = False  # one in a block
    fewer_norms: bool = False  # one in a block
    layer_norm: bool = False
    separate: bool = False  # downsampling layers of their own, with norms around

    def dims(self) -> tuple[int, ...]:
        """Channels that each stage gives."""
        widest = 1 if self.inverted else EXPANSION
        return tuple(self.width * widest * 2**stage for stage in range(len(self.depths)))


def road() -> Iterator[Step]:
    """All networks in the paper's order; of those with other kernels, 7x7 is kept."""
    at = Step("ResNet-50", 4.09, 78.82)
    yield at
    changes: tuple[tuple[str, float, float, dict[str, object]], ...] = (
        ("stage ratio", 4.53, 79.36, {"depths": (3, 3, 9, 3)}),
        ("patchify stem", 4.42, 79.51, {"patchify": True}),
        ("depthwise conv", 2.35, 78.28, {"depthwise": True}),
        ("width 96", 5.27, 80.50, {"width": 96}),
        ("inverted bottleneck", 4.64, 80.64, {"inverted": True}),
        ("depthwise moved up", 4.07, 79.92, {"moved_up": True}),
        ("kernel 5", 4.10, 80.35, {"kernel": 5, "kept": False}),
        ("kernel 7", 4.15, 80.57, {"kernel": 7}),
        ("kernel 9", 4.21, 80.57, {"kernel": 9, "kept": False}),
        ("kernel 11", 4.29, 80.47, {"kernel": 11, "kept": False}),
        ("ReLU to GELU", 4.15, 80.62, {"activation": "gelu"}),
        ("fewer activations", 4.15, 81.27, {"fewer_activations": True}),
        ("fewer norms", 4.15, 81.41, {"fewer_norms": True}),
        ("BN to LN", 4.46, 81.47, {"layer_norm": True}),
        ("separate downsampling", 4.49, 81.97, {"separate": True}),
    )
    for name, gflops, top1, changed in changes:
        step = replace(at, name=name, gflops=gflops, top1=top1, **changed)  # type: ignore[arg-type]
        yield step
        at = step if step.kept else at


# The last network is ConvNeXt-T. One row of table 10 tells other figures than the text of its step.
STEPS = {step.name: step for step in road()}
EXPLAINED = {
    "BN to LN": "a norm has no multiplications, and the text of this step changes norms alone; the paper's"
    " 4.46 is what the next step's downsampling layers bring here"
}


def before(step: Step) -> Step:
    """The network that a step starts from; the first starts from itself."""
    found = list(STEPS.values())
    earlier = [other for other in found[: found.index(step)] if other.kept]
    return earlier[-1] if earlier else step


class Layer(NamedTuple):
    """A convolution of a block."""

    before: int  # channels that it takes
    after: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False


def layers(step: Step, before: int, dim: int, stride: int) -> list[Layer]:
    """The convolutions of a block that takes `before` and gives `dim` channels."""
    if step.moved_up:
        spatial = Layer(before, before, step.kernel, stride, depthwise=True)
        return [spatial, Layer(before, EXPANSION * dim), Layer(EXPANSION * dim, dim)]
    inside = EXPANSION * dim if step.inverted else dim // EXPANSION
    spatial = Layer(inside, inside, step.kernel, stride, step.depthwise)
    return [Layer(before, inside), spatial, Layer(inside, dim)]


def convolution(layer: Layer, *, bias: bool) -> nn.Conv2d:
    groups = layer.before if layer.depthwise else 1
    padding = layer.kernel // 2
    return nn.Conv2d(layer.before, layer.after, layer.kernel, layer.stride, padding, groups=groups, bias=bias)


def activation(step: Step) -> nn.Module:
    return nn.GELU() if step.activation == "gelu" else nn.ReLU()


class Block(nn.Module):
    """The sum of a shortcut and of a branch of three convolutions."""

    def __init__(self, step: Step, before: int, dim: int, stride: int) -> None:
        super().__init__()
        found = layers(step, before, dim, stride)
        self.branch = nn.Sequential(*(last_axis if step.layer_norm else plain)(step, found))
        self.shortcut: nn.Module = nn.Identity()
        if before != dim:  # wherever the size changes, the channels do, too
            own = convolution(Layer(before, dim, stride=stride), bias=step.fewer_norms)
            self.shortcut = own if step.fewer_norms else nn.Sequential(own, nn.BatchNorm2d(dim))
        self.act = nn.Identity() if step.fewer_activations else activation(step)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.shortcut(x) + self.branch(x))  # (N, C, H, W)
        return y


def plain(step: Step, found: list[Layer]) -> Iterator[nn.Module]:
    """Convolutions with norms and activations; "fewer" leaves the first norm and the middle activation."""
    for number, layer in enumerate(found):
        normed = number == 0 or not step.fewer_norms
        yield convolution(layer, bias=not normed)
        if normed:
            yield nn.BatchNorm2d(layer.after)
        if number == 1 or (number == 0 and not step.fewer_activations):
            yield activation(step)


def last_axis(step: Step, found: list[Layer]) -> Iterator[nn.Module]:
    """Depthwise convolution, then all over the last axis: LayerNorm and two linear layers."""
    spatial, wide, narrow = found
    yield convolution(spatial, bias=True)
    yield Permuted(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
    yield Norm(spatial.after)
    yield nn.Linear(wide.before, wide.after)
    yield activation(step)
    yield nn.Linear(narrow.before, narrow.after)
    yield Permuted(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


class Permuted(nn.Module):
    """A change of the order of axes."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)


def stem(step: Step) -> Iterator[nn.Module]:
    """From pixels to the first stage, a quarter of their rows and columns."""
    bare = step.fewer_norms
    if step.patchify:
        yield nn.Conv2d(3, step.width, 4, stride=4, bias=bare)
    else:
        yield nn.Conv2d(3, step.width, 7, stride=2, padding=3, bias=bare)
    if not bare:
        yield nn.BatchNorm2d(step.width)
    if not step.fewer_activations:
        yield activation(step)
    if not step.patchify:
        yield nn.MaxPool2d(3, stride=2, padding=1)
    if step.separate:
        yield ChannelNorm(step.width)


class Network(nn.Module):
    """A network on the road: normalized images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, step: Step, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(*stem(step))
        self.stages, before = nn.Sequential(), step.width
        for number, (depth, dim) in enumerate(zip(step.depths, step.dims(), strict=True)):
            stage, stride = nn.Sequential(), 2 if number else 1
            if step.separate and number:
                stage.append(ChannelNorm(before))
                stage.append(nn.Conv2d(before, dim, 2, stride=2))
                before, stride = dim, 1
            for _ in range(depth):
                stage.append(Block(step, before, dim, stride))
                before, stride = dim, 1
            self.stages.append(stage)
        self.norm = Norm(before) if step.separate else nn.Identity()
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stages(self.stem(x))  # (N, C, H / 32, W / 32)
        return self.head(self.norm(y.mean((2, 3))))  # type: ignore[no-any-return]


def make_network(step: Step, seed: int = 0) -> nn.Module:
    """A network with random weights as PyTorch draws them, ready to be exported."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(step).eval()
    return network if step.layer_norm else fold_norms(network)


def fold_norms(network: nn.Module) -> nn.Module:
    """Return a network with its BatchNorms in the convolutions before them, as exporters write it."""
    from torch.fx.experimental.optimization import fuse

    return fuse(network)
