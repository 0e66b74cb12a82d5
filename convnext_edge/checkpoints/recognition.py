"""Recognizing the ConvNeXt in a checkpoint by the names and shapes of its tensors alone.

A checkpoint is accepted only if it has exactly the tensors of the architecture that its shapes imply;
otherwise the error names what differs. What shows in no tensor is the business of `traits`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from convnext_edge.architecture import Architecture, Shape
from convnext_edge.checkpoints.beside import WITHOUT_HEAD, part_beside, refuse_pretraining
from convnext_edge.checkpoints.inference import infer
from convnext_edge.checkpoints.layouts import LAYOUTS, Layout
from convnext_edge.checkpoints.places import Choice, Selection, choose
from convnext_edge.errors import CheckpointError
from convnext_edge.tasks import Task

KERNELS = range(1, 32, 2)  # edges of a depthwise kernel; how an even one is padded is not told
MAX_STRIDE = 1024  # pixels; published models have 32
SHOWN = 3  # differences that a message lists
KEPT = "convnext_edge"  # family of the weights that `export` keeps, also of graphs that no library writes
SUPPORTED = (
    "Supported are ConvNeXt V1 and V2, as classifiers or without their head, with the stems, norms and heads"
    " that timm has; any other would only be approximated."
)

# Of tasks that need no head: how our names of the layers begin that are left out where nobody knows them.
HEADLESS: dict[Task | None, tuple[str, ...]] = {
    "embed": ("head.", "hidden."),
    "features": ("head.", "hidden.", "norm.", "norm_pre.", "decoder."),
}
OF_HEADS = ("head.", "hidden.", "decoder.")  # how our names of layers begin that a backbone does not have

# Libraries store these with axes of length 1: (4C, C, 1, 1) for 1x1 convolutions, (1, 1, 1, 4C) for GRN
# and (C, 1, 1) for layer scale.
UNIT_AXES = ("pwconv1.weight", "pwconv2.weight", "grn.weight", "grn.bias", "gamma")

# A part of a checkpoint that no ConvNeXt of ours has, by its name.
FOREIGN = (
    (r"(^|\.)(projectors|norms)\.", "these are of a distillation"),
    (r"(grn\.\w+|gamma|layer_scale\w*)$", "all blocks have the same parts"),
)
# A tensor that is missing or has another shape, by our name.
DEVIATIONS = (
    (r"head\.", "the head is one linear layer, behind at most one hidden layer"),
    (r"decoder\.(box|mask)\.\d", "a cascade has three box heads that are alike, and three mask heads"),
    (r"decoder\.(box|mask|rpn)", "the heads are those of Mask R-CNN: two linear layers, four convolutions"),
    (r"decoder\.", "the decoder is a UPerNet or a pyramid, of a width that all its layers have"),
    (r"hidden\.", "the hidden layer of a head takes what the pooling leaves"),
    (r"stem\.conv\.weight", "the stem is one convolution with square patches, or two of 3x3"),
    (r"stem\.norm\.weight", "the stem ends with a norm"),
    (r"dwconv\.weight", "all depthwise kernels of a stage are square and alike"),
    (r"pwconv[12]\.", "the pointwise layers widen C channels to 4C and narrow them again"),
    (r"(grn\.\w+|gamma)$", "all blocks have the same parts"),
    (r"norm\w*\.bias", "all norms have a bias, or none"),
    (r"\.bias", "all convolutions have a bias, or none; all other layers have one"),
)


@dataclass(frozen=True)
class Recognition:
    """The layout and the architecture of a checkpoint that holds exactly a ConvNeXt."""

    layout: str  # such as "timm_v1_conv_mlp"
    architecture: Architecture
    names: dict[str, str]  # our name of each tensor -> its name in the checkpoint
    family: str  # the library whose names they are
    left_out: tuple[str, ...]  # names of tensors that are not of the image model
    taken: str | None = None  # which of several weights these are
    repeated: tuple[tuple[str, str], ...] = ()  # pairs of names that must be of the same values


@dataclass(frozen=True)
class Difference:
    """A tensor of a checkpoint, or a missing one, that does not fit the architecture."""

    text: str  # the tensor, and what is wrong with it
    reason: str  # what it says about the model; empty where that is not known
    of_head: bool = False


def recognize(
    shapes: Mapping[str, Shape],
    where: str,
    selection: Selection = Selection(),  # noqa: B008  frozen
) -> Recognition:
    """Recognize layout and architecture of a checkpoint by the names and shapes of its tensors.

    shapes: shape of each tensor by its name. where: name of the checkpoint, for messages. selection: which
    model is meant; for a task that needs no head, one that we do not know is left out. What shows in no
    tensor has its usual value. Raises CheckpointError, which names what differs, for everything but a
    complete ConvNeXt.
    """
    refuse_pretraining(shapes, where)
    choice = choose(shapes, where, selection.weights)
    if choice is None:
        raise _without_stem(shapes, where)
    try:
        return _recognize(shapes, where, choice)
    except CheckpointError:
        if selection.task not in HEADLESS:
            raise
        return _recognize(shapes, where, choice, without=HEADLESS[selection.task])


def _recognize(
    shapes: Mapping[str, Shape], where: str, choice: Choice, without: tuple[str, ...] = ()
) -> Recognition:
    """Return what is recognized in the chosen place, with its head or without.

    without: how our names of the layers begin that are left out.
    """
    layout, prefix = choice.place.layout, choice.place.prefix
    inside, left_out = part_beside(shapes, choice, where, headless=bool(without))
    renamed = {name: layout.rename(name) for name in inside}
    if without:
        dropped = [name for name, ours in renamed.items() if layout.is_of_head(name, ours, without)]
        left_out += tuple(prefix + name for name in dropped)
        renamed = {name: ours for name, ours in renamed.items() if name not in dropped}
        inside = {name: inside[name] for name in renamed}
    repeated = tuple((prefix + a, prefix + b) for a, b in layout.repeated(inside))
    twins = {name for name, _ in repeated}
    renamed = {name: ours for name, ours in renamed.items() if prefix + name not in twins}
    inside = {name: inside[name] for name in renamed}
    names = _names(renamed, where)
    architecture = infer({ours: inside[name] for ours, name in names.items()}, layout)
    _check(inside, renamed, architecture, layout, where)
    conv_mlp = any(ours.endswith("pwconv1.weight") and len(inside[name]) == 4 for ours, name in names.items())
    return Recognition(
        layout=_layout_name(layout, architecture, conv_mlp),
        architecture=architecture,
        names={ours: prefix + name for ours, name in names.items()},
        family=layout.family,
        left_out=left_out,
        taken=choice.taken,
        repeated=repeated,
    )


def _names(renamed: Mapping[str, str | None], where: str) -> dict[str, str]:
    """Return the name of each of our tensors; raise CheckpointError where one has two."""
    names = {ours: name for name, ours in renamed.items() if ours is not None}
    for name, ours in renamed.items():
        if ours is not None and names[ours] != name:
            raise CheckpointError(
                f"{where} has both {name} and {names[ours]}, which are one layer", hint=SUPPORTED
            )
    return names


def _check(
    inside: Mapping[str, Shape],
    renamed: Mapping[str, str | None],
    architecture: Architecture,
    layout: Layout,
    where: str,
) -> None:
    """Raise CheckpointError where the tensors are not exactly those of the architecture."""
    if not architecture.depths:
        raise CheckpointError(
            f"{where} has no ConvNeXt block: {layout.original('stages.0.blocks.0.dwconv.weight')} is missing."
            f" Its first tensors are {_first(inside)}",
            hint=SUPPORTED,
        )
    if differences := list(_differences(inside, renamed, architecture, layout)):
        raise CheckpointError(
            f"{where} is not a ConvNeXt that we know exactly (names of {layout.family}, depths"
            f" {architecture.depths}, dims {architecture.dims}): {_describe(differences)}",
            hint=f"{SUPPORTED} {WITHOUT_HEAD}" if all(d.of_head for d in differences) else SUPPORTED,
        )
    if architecture.stride > MAX_STRIDE:
        raise CheckpointError(
            f"{where} has {len(architecture.dims)} stages: a cell of the last takes over {MAX_STRIDE} pixels",
            hint=SUPPORTED,
        )


def _without_stem(shapes: Mapping[str, Shape], where: str) -> CheckpointError:
    stems = ", ".join(dict.fromkeys(f"{layout.marks[0]} ({layout.family})" for layout in LAYOUTS))
    return CheckpointError(
        f"{where} is not a ConvNeXt in a layout that we know: it has no stem under any of the names {stems}."
        f" Its first tensors are {_first(shapes)}",
        hint=SUPPORTED,
    )


def _layout_name(layout: Layout, architecture: Architecture, conv_mlp: bool) -> str:
    if layout.family == KEPT:
        return layout.family
    suffix = "_conv_mlp" if conv_mlp and not architecture.grn else ""
    return f"{layout.family}_{architecture.generation}{suffix}"


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
            of_head = layout.is_of_head(name, ours, OF_HEADS)
            yield Difference(f"{name} of shape {shape} is unexpected", _reason(name, FOREIGN), of_head)
        elif _without_unit_axes(ours, shape) != expected[ours]:
            of_head = ours.startswith(OF_HEADS)
            text = f"{name} has shape {shape}, not {expected[ours]}"
            yield Difference(text, _reason(ours, DEVIATIONS), of_head)
        elif 0 in shape:
            yield Difference(f"{name} of shape {shape} is empty", _reason(ours, DEVIATIONS))
        elif ours.endswith("dwconv.weight") and shape[-1] not in KERNELS:
            yield Difference(f"{name} of shape {shape} has a kernel of {shape[-1]}", "it is odd, 31 at most")
    yield from _differences_of_classes(architecture, layout)
    has_head = architecture.classes > 0 and not architecture.decoder
    if has_head and not architecture.last_norm and layout.family != KEPT:
        yield Difference(f"{layout.original('norm.weight')} is missing", "every library's head has a norm")
    for ours in (ours for ours in expected if ours in missing):
        of_head = ours.startswith(OF_HEADS)
        yield Difference(f"{layout.original(ours)} is missing", _reason(ours, DEVIATIONS), of_head)


def _differences_of_classes(architecture: Architecture, layout: Layout) -> Iterator[Difference]:
    """Yield what no library makes of the classes of a detector; kept weights may be of either library."""
    found = architecture.detection
    if found is None or layout.family == KEPT:
        return
    if found.library != layout.family:
        count = architecture.classes
        yield Difference(
            f"masks have {count} classes, boxes {found.rows(count)}",
            "in torchvision both have the background, in mmdetection boxes alone",
            of_head=True,
        )
    elif found.background_first and architecture.classes < 2:
        yield Difference("boxes and masks have one class", "that is the background", of_head=True)


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
