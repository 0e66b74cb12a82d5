"""What sums up how close a candidate is to the reference, for each task."""

from __future__ import annotations

from convnext_edge.checkpoints.source import Source
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
}


def closeness_of(source: Source) -> Closeness:
    """Return the empty measure of the SQNR of a model's outputs, whatever else they mean."""
    if source.task == "detect":
        return Detections(source.outputs, source.preprocessing)
    return Closeness(source.outputs)


def new_measure(source: Source, other_labels: tuple[int, ...] = ()) -> Comparison | Closeness:
    """Return the empty measure of a model's task. other_labels: as of `Comparison`, for `classify`."""
    if source.task == "classify":
        return Comparison(other_labels=other_labels)
    return MEASURES[source.task](source.outputs) if source.task in MEASURES else closeness_of(source)
