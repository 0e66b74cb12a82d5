"""What lies beside a ConvNeXt in a checkpoint: parts that compute nothing of its answer, named and left out.

A tensor of which that is not known is an error, as it may be a part of the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod

from convnext_edge.architecture import Shape
from convnext_edge.checkpoints.places import Choice
from convnext_edge.errors import CheckpointError

# Text towers, losses, metrics, the parts of a detector or a segmenter that take the maps of a backbone, and
# what training goes on from.
PARTS = (
    r"text|text_model|transformer|token_embedding|positional_embedding|text_projection|ln_final|logit_scale|"
    r"logit_bias|attn_mask|\w*criterion\w*|(\w+_)?loss(es)?(_\w+)?|\w*metrics?|(train|val|test)_\w+|"
    r"(\w+_)?(auxiliary|bbox|decode|keypoint|mask|panoptic|roi|rpn|seg|segm|semantic)_head|"
    r"neck|fpn|rpn|roi_heads|n_averaged|projectors|norms|\w*optim(s|izers?)?(_\w+)?|\w*schedulers?(_\w+)?|"
    r"opt_states?|exp_avg(_sq)?|max_exp_avg_sq|exp_inf|momentum_buffer|"
    r"\w*rng(_\w+)?|callbacks|loops|hyper_parameters|ema_state_dict\.steps|averaging_state"
)
BESIDE = re.compile(rf"(^|\.)({PARTS})(\.|$)")
# Parts that may as well be of a model of somebody's own; what must lie beside for them to compute nothing.
DETECTOR = re.compile(r"(^|\.)(\w+_head|roi_heads|rpn)\.")
NEEDED = {
    "neck": DETECTOR,
    "fpn": DETECTOR,
    "transformer": re.compile(r"(^|\.)token_embedding\."),
    "norms": re.compile(r"(^|\.)projectors\."),
}
BATCHES = re.compile(r"\.num_batches_tracked$")  # that a BatchNorm has counted
# single numbers, as of ema_pytorch's EMA
COUNTERS = re.compile(r"(^|\.)(initted|step|num_updates|decay|num_batches_tracked)$")
MEASURES = re.compile(r"\w*metrics?|(train|val|test)_\w+")  # counts and sums; a matrix of weights is a layer
FASTAI_BODY = re.compile(r"(^|\.)0\.(0|model)\.$")
FASTAI_HEAD = re.compile(r"(^|\.)1\.\d+\.(weight|bias|running_\w+|num_batches_tracked)$")
PRETRAINING = {"mask_token", "decoder"}  # parts of the authors' FCMAE, besides its encoder
WITHOUT_HEAD = "--task embed or --task features leaves a head out."


def part_beside(
    shapes: Mapping[str, Shape], choice: Choice, where: str, *, headless: bool
) -> tuple[dict[str, Shape], tuple[str, ...]]:
    """Return the shapes under the chosen prefix, by the names behind it, and the names of what lies beside.

    Tensors of other ConvNeXts are in neither. headless: whether any head may be left out. Raises
    CheckpointError for a tensor that is not known to compute nothing of the answer.
    """
    place = choice.place
    foreign = tuple(part for other in choice.others if (part := other.part_of(place)))
    known = {name for other in choice.others for name in shapes if other.has(name)}
    scopes = tuple(place.prefix + scope for scope in place.layout.scopes)
    inside: dict[str, Shape] = {}
    beside: list[str] = []
    for name, shape in shapes.items():
        if name.startswith(scopes) and BATCHES.search(name):
            continue
        if name.startswith(scopes) and not name.startswith(foreign):
            inside[name.removeprefix(place.prefix)] = shape
        elif not name.startswith(foreign) and name not in known:
            beside.append(name)
    unknown = [name for name in beside if not _computes_nothing(name, shapes[name], beside)]
    if unknown and not headless:
        fastai = FASTAI_BODY.search(scopes[0]) and FASTAI_HEAD.search(unknown[0])
        what = "which is a head as fastai makes it" if fastai else "and nothing tells what it computes"
        raise CheckpointError(
            f"{where} has {unknown[0]} beside the ConvNeXt under {' and '.join(scopes)}, {what}",
            hint="Save the tensors of the ConvNeXt alone, with its own head; or without one, for a backbone. "
            + WITHOUT_HEAD,
        )
    return inside, tuple(beside)


def _computes_nothing(name: str, shape: Shape, beside: Sequence[str]) -> bool:
    """Tell whether a tensor is known to compute nothing of the answer. beside: names of all that is so."""
    found = BESIDE.search(name)
    if found is None:
        return COUNTERS.search(name) is not None and prod(shape) == 1
    needed = NEEDED.get(found[2])
    if needed is not None and not any(needed.search(other) for other in beside):
        return False
    return not (MEASURES.fullmatch(found[2]) and name.endswith(".weight") and len(shape) > 1)


def refuse_pretraining(shapes: Mapping[str, Shape], where: str) -> None:
    """Raise CheckpointError for a model that the authors' FCMAE is pretraining."""
    parts = {part for name in shapes for part in name.split(".")[:-1]} | {
        n.rpartition(".")[2] for n in shapes
    }
    if parts >= PRETRAINING:
        raise CheckpointError(
            f"{where} is a ConvNeXt V2 in pretraining (FCMAE): it has a mask_token and a decoder, which paint"
            " what was hidden of an image, and no head that answers anything",
            hint="Give the weights after finetuning.",
        )
