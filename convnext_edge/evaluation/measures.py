"""What sums up how close a candidate is to the reference, for each task."""

from __future__ import annotations

from collections.abc import Sequence

from convnext_edge.evaluation.closeness import Closeness, Decisions, Embeddings, Values
from convnext_edge.evaluation.detections import Detections
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.pixels import Pixels
from convnext_edge.tasks import Task

MEASURES: dict[Task, type[Closeness]] = {
    "multilabel": Decisions,
    "regress": Values,
    "embed": Embeddings,
    "features": Closeness,
    "segment": Pixels,
    "detect": Detections,
}


def closeness_of(task: Task, outputs: Sequence[str]) -> Closeness:
    """Return the empty measure of the SQNR of a task's outputs, whatever else they mean."""
    return Detections(outputs) if task == "detect" else Closeness(outputs)


def new_measure(
    task: Task, outputs: Sequence[str], other_labels: tuple[int, ...] = ()
) -> Comparison | Closeness:
    """Return the empty measure of a task. other_labels: as of `Comparison`, for `classify`."""
    return Comparison(other_labels=other_labels) if task == "classify" else MEASURES[task](outputs)
