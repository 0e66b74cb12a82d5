"""Recognizing the ConvNeXt in a checkpoint by the names and shapes of its tensors alone.

A checkpoint is accepted only if it has exactly the tensors of the architecture that its shapes imply;
otherwise the error names what differs. Two things show in neither names nor shapes and are assumed:

- epsilon of LayerNorm: 1e-6 in all the libraries, except for the last LayerNorm of transformers (1e-12).
  It acts on pooled features whose variance is about 1, so the logits differ by less than 1e-6 of their size.
- activation: GELU in all published models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from convnext_edge.checkpoints.layouts import LAYOUTS, Layout
from convnext_edge.errors import CheckpointError
from convnext_edge.network.architecture import Architecture, Shape

MAX_STRIDE = 1024  # pixels; published models have 32
SHOWN = 3  # differences that a message lists
SUPPORTED = (
    "Supported are ConvNeXt V1 and V2 classifiers with one non-overlapping stem convolution, 7x7 depthwise"
    " kernels, LayerNorm, a bias in every layer and one linear head; any other would only be approximated."
)

# Libraries store these with axes of length 1: (4C, C, 1, 1) for 1x1 convolutions, (1, 1, 1, 4C) for GRN
# and (C, 1, 1) for layer scale.
UNIT_AXES = ("pwconv1.weight", "pwconv2.weight", "grn.weight", "grn.bias", "gamma")

# A part of a checkpoint that no ConvNeXt of ours has, by its name.
FOREIGN = (
    (r"stem\.[2-9]\.", "the stem has several overlapping convolutions, as in timm's _ols models"),
    (r"norm_pre\.", "the last norm comes before the pooling, as in timm's _hnf models"),
    (r"head\.(pre_logits|mlp)\.", "the head has a hidden layer, as in CLIP models"),
    (r"(grn\.\w+|gamma|layer_scale\w*)$", "a block has either GRN (V2) or layer scale (V1), never both"),
)
# A tensor that is missing or has another shape, by our name.
DEVIATIONS = (
    (r"head\.", "without its classifier a checkpoint is a feature extractor"),
    (r"stem\.conv\.weight", "the stem is one convolution of 3 channels with square patches"),
    (r"stem\.norm\.weight", "the stem is one convolution and a LayerNorm"),
    (r"dwconv\.weight", "the depthwise kernels are 7x7"),
    (r"pwconv[12]\.", "the pointwise layers widen C channels to 4C and narrow them again"),
    (r"(grn\.\w+|gamma)$", "all blocks have GRN (V2), or all have layer scale or none (V1)"),
    (r"norm\.bias", "LayerNorm has a bias, RMS norms have none"),
    (r"\.bias", "all layers have a bias"),
)
# Models of timm with a difference that no tensor shows: (depths, dims) -> model and difference.
INVISIBLE: dict[tuple[Shape, Shape], tuple[str, str]] = {
    ((3, 4, 30, 3), (384, 768, 1536, 3072)): ("convnext_xxlarge", "its LayerNorm has an epsilon of 1e-5"),
}


@dataclass(frozen=True)
class Recognition:
    """The layout and the architecture of a checkpoint that holds exactly a ConvNeXt."""

    layout: str  # such as "timm_v1_conv_mlp"
    architecture: Architecture
    names: dict[str, str]  # our name of each tensor -> its name in the checkpoint


@dataclass(frozen=True)
class Difference:
    """A tensor of a checkpoint, or a missing one, that does not fit the architecture."""

    text: str  # the tensor, and what is wrong with it
    reason: str  # what it says about the model; empty where that is not known


def recognize(shapes: Mapping[str, Shape], where: str) -> Recognition:
    """Recognize layout and architecture of a checkpoint by the names and shapes of its tensors.

    shapes: shape of each tensor by its name. where: name of the checkpoint, for messages. Raises
    CheckpointError, which names what differs, for everything but a complete ConvNeXt classifier.
    """
    layout = _find_layout(shapes, where)
    renamed = {name: layout.rename(name) for name in shapes}
    names = {ours: name for name, ours in renamed.items() if ours is not None}
    architecture = _infer({ours: shapes[name] for ours, name in names.items()})
    if not architecture.depths:
        raise CheckpointError(
            f"{where} has no ConvNeXt block: {layout.original('stages.0.blocks.0.dwconv.weight')} is missing."
            f" Its first tensors are {_first(shapes)}",
            hint=SUPPORTED,
        )
    if differences := list(_differences(shapes, renamed, architecture, layout)):
        raise CheckpointError(
            f"{where} is not a ConvNeXt that we know exactly (names of {layout.family}, depths"
            f" {architecture.depths}, dims {architecture.dims}): {_describe(differences)}",
            hint=SUPPORTED,
        )
    if architecture.stride > MAX_STRIDE:
        raise CheckpointError(
            f"{where} has {len(architecture.dims)} stages: a cell of the last takes over {MAX_STRIDE} pixels",
            hint=SUPPORTED,
        )
    conv_mlp = any(ours.endswith("pwconv1.weight") and len(shapes[name]) == 4 for ours, name in names.items())
    return Recognition(_layout_name(layout, architecture, conv_mlp), architecture, names)


def _find_layout(shapes: Mapping[str, Shape], where: str) -> Layout:
    for layout in LAYOUTS:
        if layout.stem in shapes:
            return layout
    stems = ", ".join(f"{layout.stem} ({layout.family})" for layout in LAYOUTS)
    raise CheckpointError(
        f"{where} is not a ConvNeXt in a layout that we know: it has no stem under any of the names {stems}."
        f" Its first tensors are {_first(shapes)}",
        hint=SUPPORTED,
    )


def _layout_name(layout: Layout, architecture: Architecture, conv_mlp: bool) -> str:
    if layout.family == "convnext_edge":
        return layout.family
    suffix = "_conv_mlp" if conv_mlp and not architecture.grn else ""
    return f"{layout.family}_{architecture.generation}{suffix}"


def _infer(found: Mapping[str, Shape]) -> Architecture:
    """Return the architecture that the shapes imply, without a check that its tensors are complete.

    found: shapes by our names of the tensors.
    """
    depths: dict[int, int] = {}
    dims: dict[int, int] = {}
    for name, shape in found.items():
        if match := re.fullmatch(r"stages\.(\d+)\.blocks\.\d+\.dwconv\.weight", name):
            stage = int(match[1])
            depths[stage] = depths.get(stage, 0) + 1
            dims.setdefault(stage, _edge(shape, 0))
    return Architecture(
        depths=tuple(depths[stage] for stage in sorted(depths)),
        dims=tuple(dims[stage] for stage in sorted(dims)),
        patch=_edge(found["stem.conv.weight"], -1),
        classes=_edge(found.get("head.weight", ()), 0),
        grn=any(".grn." in name for name in found),
        layer_scale=any(name.endswith(".gamma") for name in found),
    )


def _edge(shape: Shape, axis: int) -> int:
    return shape[axis] if shape else 0


def _without_unit_axes(ours: str, shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1) if ours.endswith(UNIT_AXES) else shape


def _differences(
    shapes: Mapping[str, Shape], renamed: Mapping[str, str | None], architecture: Architecture, layout: Layout
) -> Iterator[Difference]:
    """Yield the tensors that are unexpected, missing or of another shape than in the architecture."""
    expected = architecture.shapes()
    missing = set(expected) - set(renamed.values())
    for name, ours in renamed.items():
        shape = shapes[name]
        if ours is None or ours not in expected:
            yield Difference(f"{name} of shape {shape} is unexpected", _reason(name, FOREIGN))
        elif _without_unit_axes(ours, shape) != expected[ours]:
            yield Difference(f"{name} has shape {shape}, not {expected[ours]}", _reason(ours, DEVIATIONS))
        elif 0 in shape:
            yield Difference(f"{name} of shape {shape} is empty", _reason(ours, DEVIATIONS))
    for ours in (ours for ours in expected if ours in missing):
        yield Difference(f"{layout.original(ours)} is missing", _reason(ours, DEVIATIONS))
    key = (architecture.depths, architecture.dims)
    if layout.family == "timm" and key in INVISIBLE:
        model, reason = INVISIBLE[key]
        yield Difference(f"depths and dims are those of timm's {model}", reason)


def _reason(name: str, reasons: tuple[tuple[str, str], ...]) -> str:
    return next((reason for pattern, reason in reasons if re.search(pattern, name)), "")


def _describe(differences: list[Difference]) -> str:
    """Return the first differences as text, those with a reason before the others."""
    ordered = sorted(differences, key=lambda difference: not difference.reason)
    texts = [f"{d.text} ({d.reason})" if d.reason else d.text for d in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        more = len(ordered) - SHOWN
        texts.append(f"and {more} more difference{'s' if more > 1 else ''}")
    return "; ".join(texts)


def _first(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:3])
