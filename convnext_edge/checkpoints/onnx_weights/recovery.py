"""From the parts of a graph to a model: its architecture, its tensors, and whether the two agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convnext_edge.architecture import EXPANSION, OVERLAP, STRIDE, Architecture
from convnext_edge.checkpoints.onnx_weights.chain import BlockPart, Chain, Stage, StemPart
from convnext_edge.checkpoints.onnx_weights.parts import differs
from convnext_edge.checkpoints.onnx_weights.shown_architecture import architecture_of
from convnext_edge.checkpoints.onnx_weights.tensors import State, tensors_of


@dataclass(frozen=True)
class Recovered:
    """A model that was read from a graph, and what was folded in it."""

    architecture: Architecture
    state: State
    folded: tuple[str, ...]  # what the graph holds in other layers' weights, as "GRN's bias"


def recover(chain: Chain, channels: int) -> Recovered:
    """Return architecture and tensors of a graph; raise DifferentError for parts that none of ours has."""
    stages = chain.backbone.stages
    architecture = architecture_of(chain, channels)
    _check_blocks(architecture, stages, chain.backbone.stem)
    state = dict(tensors_of(chain, architecture))
    _check_shapes(architecture, state, chain)
    blocks = [block for stage in stages for block in stage.blocks]
    return Recovered(architecture, state, tuple(_folded(architecture, blocks)))


def _check_blocks(architecture: Architecture, stages: list[Stage], stem: StemPart) -> None:
    """Raise DifferentError for a block or stem that the architecture does not say."""
    _check_stem(stem, architecture)
    for stage, step, edge in zip(stages, architecture.steps, architecture.kernels, strict=True):
        if stage.down is not None and stage.down.conv.weight.shape[2:] != (STRIDE, STRIDE):
            differs(stage.down.end, "a downsampling layer of 2 x 2")
        for block in stage.blocks:
            kernel, dilation = block.dwconv.kernel, step.dilation
            wanted = ((1, 1), (dilation,) * 2, (dilation * (edge // 2),) * 4, (edge, edge), edge % 2)
            found = (kernel.stride, kernel.dilation, kernel.pads, kernel.weight.shape[2:], 1)
            if wanted != found:
                differs(
                    block.norm.x, f"a depthwise convolution of {edge} x {edge} that keeps the size of the map"
                )
            if (block.response is not None) != architecture.grn:
                differs(block.second.x, "what the first block has (GRN or none)")
            if block.activation != architecture.activation:
                differs(block.second.x, f"the activation {architecture.activation} of the first block")
            if len(block.first.weight) != EXPANSION * len(block.dwconv.weight):
                differs(block.first.x, f"a pointwise layer that widens {EXPANSION} times behind it,")


def _check_stem(stem: StemPart, architecture: Architecture) -> None:
    edge = architecture.patch if len(stem.convs) == 1 else OVERLAP
    stride, pad = (edge, 0) if len(stem.convs) == 1 else (2, 1)
    for conv in stem.convs:
        kernel = conv.kernel
        found = (kernel.weight.shape[2:], kernel.stride, kernel.pads, kernel.dilation, kernel.groups)
        if found != ((edge, edge), (stride, stride), (pad,) * 4, (1, 1), 1):
            differs(stem.norm.x, "a stem of square patches, or of two overlapping convolutions of 3 x 3")
    if stem.activation not in (None, architecture.activation):
        differs(stem.convs[-1].x, f"the activation {architecture.activation} of the blocks")


def _check_shapes(architecture: Architecture, state: State, chain: Chain) -> None:
    wanted = architecture.shapes()
    wrong = next((name for name in wanted if name not in state or state[name].shape != wanted[name]), None)
    extra = next((name for name in state if name not in wanted), None)
    if wrong or extra:
        name = wrong or extra
        found = state[name].shape if name in state else "nothing"
        end = next(iter(chain.backbone.stages[-1].ends()))
        differs(end, f"{name} of shape {wanted.get(name or '')}, and not {found},")


def _folded(architecture: Architecture, blocks: list[BlockPart]) -> Iterator[str]:
    """Yield what the weights of other layers hold, as in our lowered forms."""
    if all(block.norm.weight is None or bool(np.all(block.norm.weight == 1)) for block in blocks):
        yield "the norms' weights"
    if not architecture.grn and not architecture.layer_scale:
        yield "the layer scale (if there was one)"
    if architecture.grn and all(block.response and block.response.bias is None for block in blocks):
        yield "GRN's bias"
