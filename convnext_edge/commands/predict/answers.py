"""What the outputs of a model say of each picture, by its task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convnext_edge.artifacts.artifact import Description
from convnext_edge.checkpoints.class_names import names_of_file
from convnext_edge.commands.predict.maps import check_maps, shares
from convnext_edge.commands.predict.objects import objects_of
from convnext_edge.commands.predict.result import Area, Object, Prediction, Top
from convnext_edge.errors import UsageError
from convnext_edge.images.batches import Batch
from convnext_edge.images.objects import Found, Size, split
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.progress import note
from convnext_edge.targets.base import Outputs
from convnext_edge.tasks import Task, output_names

OF_CLASSES: tuple[Task, ...] = ("classify", "multilabel")
NAMED: tuple[Task, ...] = (*OF_CLASSES, "segment", "detect")  # tasks whose answers are names
TOP = 5  # classes of `classify`
THRESHOLD = 0.5
DIGITS = 6  # of a number: as many as float32 has
FIRST = 4  # numbers of an embedding that are shown


@dataclass(frozen=True)
class Reader:
    """Turns the outputs of a model into predictions."""

    task: Task
    outputs: tuple[str, ...]  # their names, in the model's order
    labels: tuple[str, ...]  # of the classes, in the order of the logits
    top: int | None  # classes of a picture; None for all
    threshold: float  # of a probability, of `multilabel` and `detect`
    preprocessing: Preprocessing

    def read(self, batch: Batch, outputs: Outputs) -> list[Prediction]:
        """Return what is answered to a batch of pictures, each output (N, ...)."""
        names = batch.names
        if self.task in OF_CLASSES:
            likely = softmax(outputs[0]) if self.task == "classify" else sigmoid(outputs[0])
            return [Prediction(name, top=self._top(row)) for name, row in zip(names, likely, strict=True)]
        if self.task == "segment":
            rows = zip(names, outputs[0], strict=True)
            return [self.areas(name, logits.argmax(0)) for name, logits in rows]
        if self.task == "detect":
            found = zip(names, batch.sizes, split(outputs), strict=True)
            return [Prediction(name, objects=self._objects(each, size)) for name, size, each in found]
        answers = zip(names, zip(*outputs, strict=True), strict=True)
        return [self._other(name, answer) for name, answer in answers]

    def _top(self, probabilities: NDArray[np.float64]) -> tuple[Top, ...]:
        """Return the likeliest classes; of equal ones, that with the lower index first."""
        best = np.argsort(-probabilities, kind="stable")
        if self.task == "multilabel":
            best = best[probabilities[best] > self.threshold]
        chosen = best[: self.top]
        return tuple(Top(self.labels[i], int(i), rounded(probabilities[i])) for i in chosen)

    def areas(self, name: str, classes: NDArray[np.int64]) -> Prediction:
        """Return the shares of a picture's pixels that are of each class. classes: (H, W)."""
        found = shares(classes)
        return Prediction(name, classes=tuple(Area(self.labels[i], i, rounded(share)) for i, share in found))

    def _objects(self, found: Found, size: Size) -> tuple[Object, ...]:
        return objects_of(found, size, self.preprocessing, self.labels, self.threshold)

    def _other(self, name: str, outputs: Sequence[NDArray[np.float32]]) -> Prediction:
        """Return what is answered to one picture by a model without classes."""
        named = dict(zip(self.outputs, outputs, strict=True))
        shapes = {key: tuple(map(int, found.shape)) for key, found in named.items() if found.ndim == 3}
        if "values" in named:
            return Prediction(name, values=tuple(map(rounded, named["values"])))
        if "embedding" not in named:
            return Prediction(name, shapes=shapes)
        embedding = named["embedding"].astype(np.float64)
        first = tuple(map(rounded, embedding[:FIRST]))
        return Prediction(name, norm=rounded(np.linalg.norm(embedding)), first=first, shapes=shapes)


def make_reader(
    described: Description,
    top: int | None,
    threshold: float | None,
    classes: Path | None,
    maps: Path | None = None,
) -> Reader:
    """Return the reader for a model with the options of the command.

    Raises UsageError for options that mean nothing to the model's task.
    """
    task = described.task
    for name, given, tasks in (
        ("top", top, OF_CLASSES),
        ("classes", classes, NAMED),
        ("threshold", threshold, ("multilabel", "detect")),
        ("maps", maps, ("segment", "detect")),
    ):
        if given is not None and task not in tasks:
            raise UsageError(
                f"--{name} means nothing to a model of the task {task}",
                hint=f"Leave it out; it is for {' and '.join(tasks)}.",
            )
    if maps is not None:
        classes_drawn = described.architecture.classes if task == "segment" else 0
        check_maps(maps, classes_drawn, described.architecture.channels)
    if task == "segment" and described.architecture.classes == 1:
        note("WARNING: the model has one class, which is always the largest: --save keeps its logits")
    labels = label_names(described, classes) if task in NAMED else ()
    if top is None and task == "classify":
        top = TOP
    names = output_names(task, described.architecture)
    least = THRESHOLD if threshold is None else threshold
    return Reader(task, names, labels, top, least, described.preprocessing)


def label_names(described: Description, file: Path | None) -> tuple[str, ...]:
    """Return the name of each class: of a file, else of the model, else its index as text."""
    count = described.architecture.classes
    if file is not None:
        return names_of_file(file, count).names
    if len(described.classes) == count:
        return described.classes
    note("the model has no names of its classes, so labels are their indices: --classes FILE names them")
    return tuple(map(str, range(count)))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probability of each class, (N, classes), whose sum is 1."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probability of each label, (N, classes), each by itself."""
    exact = np.exp(-np.abs(logits.astype(np.float64)))  # of the absolute value: never too large
    return np.asarray(np.where(logits >= 0, 1, exact) / (1 + exact))


def cosines(embeddings: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    """Return the cosine of the angle between any two of N embeddings, (N, N); 0 where one is all zeros."""
    exact = embeddings.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1, keepdims=True)
    units = exact / np.where(norms > 0, norms, 1)
    return tuple(tuple(map(rounded, row)) for row in np.clip(units @ units.T, -1, 1))


def rounded(value: float | np.floating) -> float:
    """Return a number to as many digits as the outputs have."""
    return float(f"{float(value):.{DIGITS}g}")
