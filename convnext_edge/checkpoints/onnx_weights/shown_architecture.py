"""The architecture that the parts of a graph make up, with all that other checkpoints leave unsaid."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from math import isclose
from typing import Any

import numpy as np

from convnext_edge.architecture import Architecture, Stem
from convnext_edge.checkpoints.onnx_weights.chain import Chain, DownPart, Stage, StemPart, VectorPart
from convnext_edge.checkpoints.onnx_weights.parts import DifferentError, LayerPart, NormPart, differs
from convnext_edge.network.convnext import same_padding

EPS_DIGITS = 6  # what float32 keeps of an epsilon
DILATING = (1, 2, 4, 8, 16, 32)  # output strides, where strides become dilations


def architecture_of(chain: Chain, channels: int) -> Architecture:
    """Return the architecture of a graph; raise DifferentError for parts that none of ours has."""
    stem, stages = chain.backbone.stem, chain.backbone.stages
    first, double = stages[0].blocks[0], len(stem.convs) > 1
    stated = Architecture(
        depths=tuple(len(stage.blocks) for stage in stages),
        dims=tuple(len(stage.blocks[0].dwconv.weight) for stage in stages),
        patch=4 if double else stem.convs[0].weight.shape[-1],
        grn=first.response is not None,
        layer_scale=any(block.second.scale is not None for stage in stages for block in stage.blocks),
        channels=channels,
        stem=_stem_kind(stem),
        stem_width=len(stem.convs[0].weight) if double else 0,
        downsample_first=stages[0].down is not None,
        kernels=tuple(stage.blocks[0].dwconv.weight.shape[-1] for stage in stages),
        conv_bias=any(conv.bias is not None for conv in _convolutions(chain)),
        activation=first.activation,
        maps=tuple(sorted(chain.maps)),
    )
    headed = _with_head(stated, chain.vector)
    return _dilated(_with_map_norms(_with_norms(headed, chain), chain), stages)


def _with_head(stated: Architecture, vector: VectorPart | None) -> Architecture:
    """Complete an architecture by what is behind its stages, but for its norm."""
    if vector is None:
        return replace(stated, classes=0, pooled=False)
    return replace(
        stated,
        classes=0 if vector.head is None else len(vector.head.weight),
        hidden=0 if vector.hidden is None else len(vector.hidden.weight),
        head_bias=vector.head is None or vector.head.bias is not None,
        pooling=vector.pooling,
    )


def _with_norms(stated: Architecture, chain: Chain) -> Architecture:
    """Complete an architecture by what its norms have in common."""
    norms, last = list(_norms(chain)), _last_norm(chain.vector)
    if any(norm.kind != norms[0].kind for norm in norms):
        differs(_odd(norms, lambda norm: norm.kind).x, f"a norm of the kind {norms[0].kind}")
    eps = _eps([norm for norm in norms if norm is not last])
    return replace(
        stated,
        norm=norms[0].kind,
        norm_bias=_has_bias(norms),
        eps=eps,
        last_eps=eps if last is None else _rounded(last.eps),
        last_norm=last is not None,
        norm_first=chain.vector is not None and chain.vector.norm_pre is not None,
    )


def _stem_kind(stem: StemPart) -> Stem:
    if len(stem.convs) == 1:
        return "patch"
    return "overlap" if stem.activation is None else "overlap_act"


def _norms(chain: Chain) -> Iterator[NormPart]:
    yield chain.backbone.stem.norm
    for stage in chain.backbone.stages:
        if stage.down is not None:
            yield stage.down.norm
        yield from (block.norm for block in stage.blocks)
    yield from (part.norm for part in chain.maps.values() if part.norm is not None)
    if (last := _last_norm(chain.vector)) is not None:
        yield last


def _convolutions(chain: Chain) -> Iterator[LayerPart]:
    yield from chain.backbone.stem.convs
    for stage in chain.backbone.stages:
        if stage.down is not None:
            yield stage.down.conv
        yield from (block.dwconv for block in stage.blocks)


def _last_norm(vector: VectorPart | None) -> NormPart | None:
    if vector is None:
        return None
    if vector.norm is not None and vector.norm_pre is not None:
        differs(vector.norm.x, "one norm behind the stages")
    return vector.norm or vector.norm_pre


def _has_bias(norms: list[NormPart]) -> bool:
    """Return whether norms have a bias; a LayerNorm of which all that it adds is folded is taken to."""
    affine = [norm for norm in norms if norm.weight is not None or norm.bias is not None]
    return norms[0].kind == "layernorm" and (not affine or any(norm.bias is not None for norm in affine))


def _odd(things: list[Any], key: Callable[[Any], Hashable]) -> Any:
    return next(thing for thing in things if key(thing) != key(things[0]))


def _rounded(eps: float) -> float:
    return float(f"{eps:.{EPS_DIGITS}g}")


def _eps(norms: list[NormPart]) -> float:
    first = norms[0].eps
    for norm in norms:
        if not isclose(norm.eps, first, rel_tol=1e-3):
            differs(norm.x, f"a norm with the epsilon {first:g} of the others, and not {norm.eps:g},")
    return _rounded(first)


def _with_map_norms(bare: Architecture, chain: Chain) -> Architecture:
    """Complete an architecture by the norms that its maps go through."""
    last, vector = len(bare.dims) - 1, chain.vector
    shared = _last_norm(vector)
    normed = {stage: part for stage, part in chain.maps.items() if part.norm is not None}
    found = normed.get(last)
    through = found is not None and shared is not None and _same(found.norm, shared)
    if through:
        del normed[last]
    if last in chain.maps and bare.norm_first and not through:
        differs(chain.maps[last].map, "a map behind the last norm")
    return replace(bare, map_norms=tuple(sorted(normed)), map_last_norm=through and not bare.norm_first)


def _same(a: NormPart | None, b: NormPart) -> bool:
    if a is None or a.kind != b.kind or not isclose(a.eps, b.eps, rel_tol=1e-3):
        return False
    pairs = ((a.weight, b.weight), (a.bias, b.bias))
    return all(np.array_equal(x, y) if x is not None and y is not None else x is y for x, y in pairs)


def _dilated(bare: Architecture, stages: list[Stage]) -> Architecture:
    """Return the architecture whose strides and dilations are those of the graph."""
    found = []
    for stage in stages:
        kernel = stage.down.conv.kernel if stage.down else None
        dilations = (kernel.dilation if kernel else (1, 1), stage.blocks[0].dwconv.kernel.dilation)
        found.append((kernel.stride if kernel else (1, 1), *dilations))
    for output_stride in (None, *DILATING):
        tried = replace(bare, output_stride=output_stride)
        steps = [((s.stride,) * 2, (s.first_dilation,) * 2, (s.dilation,) * 2) for s in tried.steps]
        if all(
            step == mine and (stage.down is None or _padding(stage.down) == _wanted(step[0][0], step[1][0]))
            for step, mine, stage in zip(steps, found, stages, strict=True)
        ):
            return tried
    end = next((stage.down.end for stage in stages if stage.down is not None), stages[0].blocks[0].end)
    shown = ", ".join(f"{stride}/{first}/{dilation}" for stride, first, dilation in found)
    raise DifferentError(end, f"a stride of 2 or timm's dilations (here stride/dilations are {shown})")


def _padding(down: DownPart) -> tuple[int, int, int, int]:
    top, left, bottom, right = down.conv.kernel.pads
    return left, right, top, bottom


def _wanted(stride: int, dilation: int) -> tuple[int, int, int, int]:
    return same_padding(dilation) if stride == 1 else (0, 0, 0, 0)
