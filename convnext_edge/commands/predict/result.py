"""What `predict` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnext_edge.commands.remedies import after_engine
from convnext_edge.commands.result import Result
from convnext_edge.errors import UsageError
from convnext_edge.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convnext_edge.commands.predict.outputs import Kept

# Keys of a prediction in JSON, beside that of its picture; an embedding is added where it is kept.
KEYS: dict[Task, tuple[str, ...]] = {
    "classify": ("top",),
    "multilabel": ("top",),
    "regress": ("values",),
    "embed": ("norm",),
    "features": ("shapes",),
    "segment": ("classes", "label_map", "overlay"),
    "detect": ("objects", "overlay"),
}


@dataclass(frozen=True, slots=True)
class Top:
    """One class that a picture probably is of."""

    label: str  # its name, or its index where names are not known
    index: int  # of the logit, 0-based
    probability: float


@dataclass(frozen=True, slots=True)
class Area:
    """One class that pixels of a picture are of."""

    label: str  # its name, or its index where names are not known
    index: int  # of the logit, 0-based
    share: float  # of the pixels


@dataclass(frozen=True, slots=True)
class Object:
    """One object in a picture; its keys in JSON are those of COCO's results."""

    label: str  # name of its class, or its index where names are not known
    index: int  # of the class
    score: float
    bbox: tuple[float, float, float, float]  # left, top, width and height in pixels of the picture
    segmentation: dict[str, Any]  # its pixels, as COCO's run lengths: `size` and `counts`

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "label": self.label,
            "category_id": self.index,
            "score": self.score,
            "bbox": self.bbox,
            "segmentation": self.segmentation,
        }


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answers to one picture; fields that its task does not have are empty."""

    picture: str  # as it was given; `pictures[2]` for the third, given as an image in memory
    top: tuple[Top, ...] = ()  # of classify and multilabel, the likeliest first
    values: tuple[float, ...] = ()  # of regress
    norm: float | None = None  # Euclidean, of the embedding
    first: tuple[float, ...] = ()  # numbers of the embedding, which is whole in `outputs`
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of each map: channels, rows, columns
    classes: tuple[Area, ...] = ()  # of segment, the largest first
    objects: tuple[Object, ...] = ()  # of detect, the surest first
    label_map: Path | None = None  # the file with the class of each pixel, with --maps
    overlay: Path | None = None  # likewise, the picture below the colours of its classes, or its objects


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture that could not be read."""

    picture: str
    reason: str


@dataclass(frozen=True)
class Predict(Result):
    """What a model answers to pictures, in the order that they were asked for."""

    artifact: Path
    target: str
    task: Task
    pictures: int  # asked for
    predictions: tuple[Prediction, ...]  # of those that could be read
    failed: tuple[Failed, ...]  # those that could not be read, in the same order
    seconds: float  # from the first picture to the last answer
    threshold: float | None = None  # of multilabel and detect: what has a higher probability is told
    # Of embed, from 2 to MOST_COSINES pictures: the cosine of each with each, in the order of `predictions`.
    cosines: tuple[tuple[float, ...], ...] | None = None
    saved: Path | None = None  # the file with the outputs, in the order of `predictions`
    sliding_window: bool = False  # of segment: windows slid over the pictures, whose sizes label maps have
    simulated: bool = False  # not run by the runtime that the target stands for
    label: str = ""  # where it was simulated, why
    warnings: tuple[str, ...] = ()  # why not to rely on the answers, as sentences
    kept: Kept | None = field(default=None, repr=False, compare=False)

    @property
    def outputs(self) -> dict[str, NDArray[np.float32]]:
        """All outputs of the model by name, as `logits`; each (N, ...), in the order of `predictions`.

        Raises UsageError where they were too many to be kept in memory.
        """
        if self.sliding_window:
            raise UsageError(
                "logits of windows that slide over pictures are not kept",
                hint="Leave sliding_window out: outputs are those of the model's input then.",
            )
        if self.kept is None or self.kept.arrays is None:
            where = f"They are in {self.saved}." if self.saved else "Give save='FILE.safetensors'."
            raise UsageError(
                f"the outputs of {self.pictures} pictures are too large to be kept in memory", hint=where
            )
        return self.kept.arrays

    @property
    def exit_code(self) -> int:
        """Return 1 where a picture could not be read."""
        return 1 if self.failed else 0

    def next_command(self) -> str:
        """Return what puts an engine into an application."""
        return "" if self.failed or self.simulated else after_engine(self.artifact, self.target)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; of each prediction, what belongs to the task."""
        return {
            "artifact": str(self.artifact),
            "target": self.target,
            "task": self.task,
            "pictures": self.pictures,
            "predictions": self._predictions(),
            "failed": [{"picture": failed.picture, "reason": failed.reason} for failed in self.failed],
            "seconds": self.seconds,
            "threshold": self.threshold,
            "cosines": self.cosines,
            "saved": None if self.saved is None else str(self.saved),
            "sliding_window": self.sliding_window,
            "simulated": self.simulated,
            "label": self.label,
            "warnings": self.warnings,
        }

    def table_rows(self) -> list[dict[str, Any]]:
        """Return a row for each picture that could be read: the keys of the JSON and single values."""
        from convnext_edge.commands.predict.single_values import single_values

        told = zip(self.predictions, self.to_json()["predictions"], strict=True)
        return [{"picture": row.picture, **single_values(row, self.task), **as_json} for row, as_json in told]

    def summary(self) -> str:
        """Return a table of the pictures, and what ran."""
        from convnext_edge.commands.predict.tables import table_of

        return table_of(self)

    def _predictions(self) -> list[dict[str, Any]]:
        rows = [
            {"picture": row.picture, **{key: _plain(getattr(row, key)) for key in KEYS[self.task]}}
            for row in self.predictions
        ]
        if self.task == "embed":
            for place, (found, row) in enumerate(zip(rows, self.predictions, strict=True)):
                if self.kept is not None and self.kept.arrays is not None:
                    embedding = self.kept.arrays["embedding"][place]
                    found["embedding"] = [float(str(value)) for value in embedding]  # in float32's digits
                if row.shapes:
                    found["shapes"] = row.shapes
        return rows


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple) and value and isinstance(value[0], Object):
        return [found.to_json() for found in value]
    if isinstance(value, tuple) and value and isinstance(value[0], Area):
        return [{"label": a.label, "index": a.index, "share": a.share} for a in value]
    if isinstance(value, tuple) and value and isinstance(value[0], Top):
        return [{"label": t.label, "index": t.index, "probability": t.probability} for t in value]
    return value
