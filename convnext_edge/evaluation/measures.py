"""What sums up how close a candidate is to the reference, for each task."""

from __future__ import annotations

from collections.abc import Callable

from convnext_edge.checkpoints.source import Source
from convnext_edge.evaluation.closeness import Closeness, Decisions, Embeddings, Values
from convnext_edge.evaluation.detections import Detections
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.pixels import Pixels
from convnext_edge.tasks import Task

MEASURES: dict[Task, Callable[[Source], Closeness]] = {
    "multilabel": lambda source: Decisions(source.outputs),
    "regress": lambda source: Values(source.outputs),
    "embed": lambda source: Embeddings(source.outputs),
    "features": lambda source: Closeness(source.outputs),
    "segment": lambda source: Pixels(source.outputs),
    "detect": lambda source: Detections(source.outputs, source.preprocessing),
}


def closeness_of(source: Source) -> Closeness:
    """Return the empty measure of the SQNR of a model's outputs, whatever else they mean."""
    return MEASURES["detect"](source) if source.task == "detect" else Closeness(source.outputs)


def new_measure(source: Source, other_labels: tuple[int, ...] = ()) -> Comparison | Closeness:
    """Return the empty measure of a model's task. other_labels: as of `Comparison`, for `classify`."""
    return (
        Comparison(other_labels=other_labels) if source.task == "classify" else MEASURES[source.task](source)
    )
