"""What the options of `export` say of a checkpoint."""

from __future__ import annotations

from dataclasses import replace

from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.load_source import Asked
from convnext_edge.checkpoints.places import Selection, Weights
from convnext_edge.errors import UsageError
from convnext_edge.tasks import Task

OUTPUT_STRIDES = (8, 16, 32)
Finding = tuple[int | None, int | None, float | None, int | None]


def asked_of(traits: Traits, finding: Finding, *, weights: Weights | None, task: Task | None) -> Asked:
    """Return what is asked; raise UsageError for an output stride that timm lacks.

    finding: of a detector, candidates, proposals, the threshold of scores, and the most detections.
    """
    if traits.output_stride not in (None, *OUTPUT_STRIDES):
        raise UsageError(
            f"--output-stride {traits.output_stride} is none that timm has", hint="Take 8, 16 or 32."
        )
    candidates, proposals, threshold, detections = finding
    told = replace(
        traits,
        candidates=candidates,
        proposals=proposals,
        score_threshold=threshold,
        max_detections=detections,
    )
    return Asked(told, Selection(weights, task))
