"""Tasks: what the outputs of a model mean.

classify    `logits` (N, classes): the largest is the answer
multilabel  `logits` (N, classes): each is the answer to a question of its own, by its sign
regress     `values` (N, outputs): numbers as they are
embed       `embedding` (N, features), by whose direction images are compared; perhaps `map`, the last map
features    the map (N, C, H / stride, W / stride) of each stage, `map` with its number, for a detector
segment     `logits` (N, classes, H, W): the largest of each pixel is its class
detect      of the R best objects `boxes` (N, R, 4), `labels` and `scores` (N, R), `masks` (N, R, 28, 28)

Tensors tell a task only in part: a head may classify or regress.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from convnext_edge.architecture import Architecture, Decoder
from convnext_edge.errors import UsageError

Task = Literal["classify", "multilabel", "regress", "embed", "features", "segment", "detect"]
TASKS: tuple[Task, ...] = get_args(Task)
OF_HEADS: tuple[Task, ...] = ("classify", "multilabel", "regress")
WITH_CLASSES: tuple[Task, ...] = (*OF_HEADS, "segment", "detect")  # tasks whose outputs may have names
OF_DECODERS: dict[Decoder, Task] = {"upernet": "segment", "mask_rcnn": "detect"}
DETECTIONS = ("boxes", "labels", "scores", "masks")
VECTORS: dict[Task, str] = {
    "classify": "logits",
    "multilabel": "logits",
    "regress": "values",
    "embed": "embedding",
}


def infer_task(architecture: Architecture, *, projects: bool = False) -> Task:
    """Return the task that tensors tell. projects: whether the head is a projection, as in OpenCLIP."""
    if architecture.decoder:
        return OF_DECODERS[architecture.decoder]
    if not architecture.pooled:
        return "features"
    if not architecture.classes or projects:
        return "embed"
    return "regress" if architecture.classes == 1 else "classify"


def output_names(task: Task, architecture: Architecture) -> tuple[str, ...]:
    """Return the names of a model's outputs, in its order."""
    if task == "segment":
        return ("logits",)
    if task == "detect":
        return DETECTIONS
    maps = ("map",) if task == "embed" else tuple(f"map{stage}" for stage in architecture.maps)
    vector = (VECTORS[task],) if architecture.pooled else ()
    return (*vector, *(maps if architecture.maps else ()))


def fit(architecture: Architecture, task: Task, inferred: Task, *, with_map: bool = False) -> Architecture:
    """Return the part of an architecture that a task takes: a backbone has no head.

    inferred: the task that the tensors tell. with_map: of `embed`, whether the last map is an output too.
    Raises UsageError for a task that the tensors do not allow.
    """
    if with_map and task != "embed":
        raise UsageError("--with-map belongs to --task embed", hint="Leave it out.")
    last = len(architecture.dims) - 1
    match task:
        case "features":
            maps = architecture.maps or tuple(range(last + 1))
            bare = replace(architecture, classes=0, hidden=0, last_norm=False, norm_first=False)
            bare = replace(bare, decoder=None, decoder_width=0, pool_bins=())
            bare = replace(bare, box_width=0, mask_width=0, cascade=None, detection=None)
            return replace(bare, pooled=False, maps=maps, map_last_norm=False)
        case "embed" if inferred in ("features", "segment", "detect"):
            raise UsageError("--task embed: this model has maps alone, and no norm behind them", hint=LEAVE)
        case "segment" if inferred != "segment":
            raise UsageError("--task segment: this model has no decoder, such as UPerNet's", hint=LEAVE)
        case "detect" if inferred != "detect":
            raise UsageError(
                "--task detect: this model has no heads of a detector, such as Mask R-CNN's", hint=LEAVE
            )
        case "segment" | "detect":
            return architecture
        case "embed":
            headless = architecture if inferred == "embed" else replace(architecture, classes=0)
            return replace(headless, maps=(last,) if with_map else ())
    if not architecture.classes or architecture.decoder:
        raise UsageError(f"--task {task}: this model has no head", hint=LEAVE)
    if task == "classify" and architecture.classes == 1:
        raise UsageError(
            "--task classify: this model has one output, which is always the largest",
            hint="Take regress, or multilabel where its sign is the answer.",
        )
    return architecture


LEAVE = "Leave --task out: the task is taken from the checkpoint."
