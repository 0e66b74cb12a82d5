"""A walk over terms from the outputs of a graph to its image: the parts of a ConvNeXt in their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from convnext_edge.architecture import Activation, Pooling
from convnext_edge.checkpoints.onnx_weights import parts
from convnext_edge.checkpoints.onnx_weights.parts import (
    Array,
    DifferentError,
    LayerPart,
    NormPart,
    ResponsePart,
    differs,
)
from convnext_edge.checkpoints.onnx_weights.terms import SPATIAL, Term

MAP = "a residual sum, a downsampling layer or the stem"


@dataclass(frozen=True, eq=False)
class BlockPart:
    """A block of a ConvNeXt."""

    end: Term
    dwconv: LayerPart
    norm: NormPart
    first: LayerPart
    activation: Activation
    response: ResponsePart | None
    second: LayerPart  # its scale is the layer scale


@dataclass(frozen=True, eq=False)
class DownPart:
    """A downsampling layer: a norm, then a convolution of 2 x 2."""

    end: Term
    norm: NormPart
    conv: LayerPart


@dataclass(frozen=True, eq=False)
class StemPart:
    """The stem: one convolution, or two with perhaps an activation between, and a norm."""

    end: Term
    image: Term  # what the first convolution reads
    convs: tuple[LayerPart, ...]
    activation: Activation | None
    norm: NormPart


@dataclass(frozen=True, eq=False)
class VectorPart:
    """What is behind the map that is pooled; the parts stand in the order of the graph."""

    map: Term  # of the last stage
    norm_pre: NormPart | None
    pooling: Pooling
    norm: NormPart | None
    hidden: LayerPart | None
    head: LayerPart | None


@dataclass(frozen=True, eq=False)
class MapPart:
    """A map of a stage that is an output, perhaps behind a norm."""

    map: Term
    norm: NormPart | None


@dataclass(frozen=True)
class Stage:
    """A stage: its downsampling layer, if it has one, and its blocks."""

    down: DownPart | None
    blocks: list[BlockPart] = field(default_factory=list)

    def ends(self) -> Iterable[Term]:
        """Yield what its parts put out, in their order."""
        yield from ([self.down.end] if self.down else [])
        yield from (block.end for block in self.blocks)


@dataclass(frozen=True)
class Backbone:
    """Stem and stages, in their order."""

    stem: StemPart
    stages: list[Stage]


@dataclass(frozen=True)
class Chain:
    """All parts of a model, and which output of the graph is what."""

    backbone: Backbone
    vector: VectorPart | None
    maps: dict[int, MapPart]  # by their stage
    outputs: dict[str, int | None]  # the stage of the map that an output is; None for the vector


def find_chain(outputs: dict[str, Term]) -> Chain:
    """Return the parts of the model that has these outputs; raise DifferentError for what is none of ours."""
    vectors = {name: vector(term) for name, term in outputs.items() if term.reduced >= SPATIAL}
    maps = {name: mapped(term) for name, term in outputs.items() if name not in vectors}
    if len(vectors) > 1:
        differs(outputs[list(vectors)[1]], "one pooled output")
    candidates = [part.map for part in vectors.values()] + [part.map for part in maps.values()]
    found = max(
        (backbone(term) for term in candidates), key=lambda one: sum(len(s.blocks) for s in one.stages)
    )
    ends = {stage.blocks[-1].end: index for index, stage in enumerate(found.stages)}
    places = {name: ends.get(part.map) for name, part in maps.items()}
    for name, place in places.items():
        if place is None or list(places.values()).count(place) > 1:
            differs(outputs[name], "the map of another stage")
    for part in vectors.values():
        if ends.get(part.map) != len(found.stages) - 1:
            differs(part.map, "the map of the last stage")
    return Chain(
        found,
        next(iter(vectors.values()), None),
        {place: maps[name] for name, place in places.items() if place is not None},
        {**dict.fromkeys(vectors), **places},
    )


def mapped(term: Term) -> MapPart:
    """Return what an output of the shape of a map is."""
    norm = parts.norm(term)
    # the stem ends with a norm as well; no model puts that out
    return MapPart(term, None) if norm is None else MapPart(norm.x, norm)


def vector(term: Term) -> VectorPart:
    """Return what a pooled output is, from its end on."""
    head = hidden = None
    norm = None
    if is_layer(term):
        head = parts.linear(term, "the linear layer of a head")
        term = head.x
        if (activated := parts.activation(term)) is not None:
            if activated[1] != "gelu":
                differs(term, "GELU behind the hidden layer of a head")
            hidden = parts.linear(activated[0], "the hidden layer of a head")
            term = hidden.x
    if (found := parts.norm(term)) is not None and term.reduced >= SPATIAL:
        norm, term = found, found.x
    pooled = parts.pool(term)
    if pooled is None:
        differs(term, "pooling over rows and columns")
    before, pooling = pooled
    pre = parts.norm(before)
    return VectorPart(before if pre is None else pre.x, pre, pooling, norm, hidden, head)


def is_layer(term: Term) -> bool:
    """Return whether a term is a layer with weights."""
    try:
        parts.layer(term, "")
    except DifferentError:
        return False
    return True


def backbone(term: Term) -> Backbone:
    """Return stem and stages of the model that puts out a map."""
    stages = [Stage(None)]
    while True:
        if term.op == "add":
            found = block(term)
            stages[0].blocks.insert(0, found)
            term = found.dwconv.x
            continue
        if not stages[0].blocks:
            differs(term, "a block" if len(stages) > 1 else MAP)
        normed = parts.norm(term)
        if normed is not None:
            return Backbone(stem(term, normed), stages)
        down = downsample(term)
        stages[0] = replace(stages[0], down=down)
        term = down.norm.x
        if term.op != "add":  # the first stage has a downsampling layer, too
            normed = parts.norm(term)
            if normed is None:
                differs(term, MAP)
            return Backbone(stem(term, normed), stages)
        stages.insert(0, Stage(None))


def block(term: Term) -> BlockPart:
    """Return the block that a residual sum ends."""
    x, second = _branch(term)
    expected = "an activation, or global response normalization behind one, before the second pointwise layer"
    response = parts.response(second.x)
    inner = second.x if response is None else response.x
    activated = parts.activation(inner)
    if activated is None:
        differs(inner, expected)
    first = parts.linear(activated[0], "the first pointwise layer")
    norm = parts.norm(first.x)
    if norm is None:
        differs(first.x, "the norm of a block")
    dwconv = parts.layer(norm.x, "a depthwise convolution")
    if dwconv.kernel.groups != len(dwconv.weight) or dwconv.weight.shape[1] != 1:
        differs(norm.x, "a depthwise convolution")
    if dwconv.x is not x:
        differs(dwconv.x, f"the other side of the residual sum {term.origin}")
    return BlockPart(term, dwconv, norm, first, activated[1], response, second)


def _branch(term: Term) -> tuple[Term, LayerPart]:
    """Return the two sides of a residual sum: what is kept, and the second pointwise layer."""
    for x, branch in (term.args, term.args[::-1]):
        try:
            second = parts.linear(branch, "the second pointwise layer")
        except DifferentError:
            continue
        # the other side may be a linear layer as well: the stem of patches of one pixel has a norm, though
        return x, second
    raise DifferentError(term, "a sum with the second pointwise layer of a block")


def downsample(term: Term) -> DownPart:
    """Return the downsampling layer that a term is."""
    conv = parts.layer(term, MAP)
    norm = parts.norm(conv.x)
    if norm is None:
        differs(conv.x, "the norm of a downsampling layer")
    return DownPart(term, norm, conv)


def stem(term: Term, norm: NormPart) -> StemPart:
    """Return the stem that a norm ends."""
    last = parts.layer(norm.x, "the convolution of a stem")
    if not depends(last.x):
        return StemPart(term, last.x, (last,), None, norm)
    activated = parts.activation(last.x)
    first = parts.layer(last.x if activated is None else activated[0], "the first convolution of a stem")
    if depends(first.x):
        differs(first.x, "the image")
    return StemPart(term, first.x, (first, last), None if activated is None else activated[1], norm)


def depends(term: Term) -> bool:
    """Return whether a term is more of the image than constants that multiply it or are added."""
    while term.op in ("shift", "product"):
        if term.op == "product" and (len(term.args) != 1 or term.value[1] != (1,)):
            return True
        term = term.args[0]
    return term.op != "image"


def pixels(term: Term, channels: int) -> tuple[Array, Array]:
    """Return scale and shift of each channel, of what the stem reads: image * scale + shift."""
    steps = []
    while term.op != "image":
        steps.append(term)
        term = term.args[0]
    scale, shift = np.ones(channels), np.zeros(channels)
    for step in reversed(steps):
        if step.op == "shift":
            shift = shift + step.value
        else:
            scale, shift = scale * step.value[0], shift * step.value[0]
    return scale, shift
