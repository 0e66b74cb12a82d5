"""The tensors of a graph under our names, in float32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.onnx_weights.chain import BlockPart, Chain, MapPart, VectorPart
from convnext_edge.checkpoints.onnx_weights.parts import Array, LayerPart, NormPart, differs, unscaled

State = dict[str, NDArray[np.float32]]


def tensors_of(chain: Chain, architecture: Architecture) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name and values of each tensor; raise DifferentError for one that the architecture lacks."""
    for name, values in _named(chain, architecture):
        yield name, np.array(values, dtype=np.float32, order="C")  # a copy that may be written to


def _named(chain: Chain, architecture: Architecture) -> Iterator[tuple[str, Array]]:
    stem = chain.backbone.stem
    for name, conv in zip(("stem.conv", "stem.conv2"), stem.convs, strict=False):
        yield from _conv(name, conv, architecture)
    yield from _norm("stem.norm", stem.norm, architecture, architecture.dims[0])
    for number, stage in enumerate(chain.backbone.stages):
        name = f"stages.{number}"
        if stage.down is not None:
            before = architecture.dims[max(number - 1, 0)]
            yield from _norm(f"{name}.downsample.norm", stage.down.norm, architecture, before)
            yield from _conv(f"{name}.downsample.conv", stage.down.conv, architecture)
        for index, block in enumerate(stage.blocks):
            yield from _block(f"{name}.blocks.{index}", block, architecture, architecture.dims[number])
    for number in architecture.map_norms:
        part: MapPart = chain.maps[number]
        assert part.norm is not None
        yield from _norm(f"map_norms.{number}", part.norm, architecture, architecture.dims[number])
    yield from _head(chain.vector, architecture)


def _block(name: str, block: BlockPart, architecture: Architecture, dim: int) -> Iterator[tuple[str, Array]]:
    yield from _conv(f"{name}.dwconv", block.dwconv, architecture)
    yield from _norm(f"{name}.norm", block.norm, architecture, dim)
    yield from _linear(f"{name}.pwconv1", block.first)
    second = block.second
    weight, bias = second.weight[:, :, 0, 0], second.bias
    if block.response is not None:
        factor = 1.0 if block.response.scale is None else block.response.scale
        weight = weight * factor  # (C, 4C)
        wide = weight.shape[1]
        yield f"{name}.grn.weight", np.broadcast_to(block.response.weight / factor, (wide,))
        added = 0.0 if block.response.bias is None else block.response.bias / factor
        yield f"{name}.grn.bias", np.broadcast_to(added, (wide,))
    yield f"{name}.pwconv2.weight", weight
    yield f"{name}.pwconv2.bias", np.zeros(len(weight)) if bias is None else bias
    if architecture.layer_scale:
        yield f"{name}.gamma", np.ones(dim) if second.scale is None else second.scale


def _conv(name: str, part: LayerPart, architecture: Architecture) -> Iterator[tuple[str, Array]]:
    weight, bias = unscaled(part)
    yield f"{name}.weight", weight
    if architecture.conv_bias:
        yield f"{name}.bias", np.zeros(len(weight)) if bias is None else bias


def _linear(name: str, part: LayerPart, *, bias: bool = True) -> Iterator[tuple[str, Array]]:
    weight, added = unscaled(part)
    yield f"{name}.weight", weight[:, :, 0, 0]
    if bias:
        yield f"{name}.bias", np.zeros(len(weight)) if added is None else added


def _norm(name: str, part: NormPart, architecture: Architecture, dim: int) -> Iterator[tuple[str, Array]]:
    yield f"{name}.weight", np.broadcast_to(1.0 if part.weight is None else part.weight, (dim,))
    if architecture.norm_bias:
        yield f"{name}.bias", np.broadcast_to(0.0 if part.bias is None else part.bias, (dim,))
    elif part.bias is not None:
        differs(part.x, f"a {part.kind} without a bias behind it,")


def _head(vector: VectorPart | None, architecture: Architecture) -> Iterator[tuple[str, Array]]:
    if vector is None:
        return
    if vector.norm_pre is not None:
        yield from _norm("norm_pre", vector.norm_pre, architecture, architecture.dims[-1])
    if vector.norm is not None:
        yield from _norm("norm", vector.norm, architecture, architecture.pooled_features)
    if vector.hidden is not None:
        yield from _linear("hidden", vector.hidden)
    if vector.head is not None:
        yield from _linear("head", vector.head, bias=architecture.head_bias)
