"""Segmenters over whole pictures, by windows that slide over them (`images.windows`)."""

from __future__ import annotations

from collections.abc import Iterator

from convnext_edge.errors import UsageError
from convnext_edge.evaluation.comparison import (
    Answer,
    Answered,
    Inputs,
    answers_of_both,
    check_finite,
)
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import normalize
from convnext_edge.images.windows import Grid, Logits, Pixels, cover
from convnext_edge.progress import track
from convnext_edge.tasks import Task


def check_sliding(task: Task) -> None:
    """Raise UsageError for a task whose answers are not those of pixels."""
    if task != "segment":
        raise UsageError(
            f"--sliding-window means nothing to a model of the task {task}",
            hint="Leave it out; it is for segment.",
        )


def mean_logits(
    answer: Answer, picture: Pixels, preprocessing: Preprocessing, *, raw_bytes: bool, batch: int
) -> Logits:
    """Return a segmenter's logits for a picture, (classes, H, W) of the size that `cover` gives it.

    raw_bytes: whether it takes bytes, or normalized values. batch: windows in a call.
    """
    pixels = cover(picture, preprocessing)
    grid = Grid(preprocessing.size, (pixels.shape[0], pixels.shape[1]))
    windows = grid.cut(pixels)
    for start in range(0, len(windows), batch):
        some = windows[start : start + batch]
        grid.add(answer(some if raw_bytes else normalize(some, preprocessing))[0])
    return grid.mean()


def answers_over(
    reference: Answer, candidate: Answer, inputs: Inputs, *, sliding_window: bool
) -> Iterator[Answered]:
    """Yield what both models answer to the images that `validate` shows them, as inputs or by windows."""
    ask = answers_by_windows if sliding_window else answers_of_both
    return ask(reference, candidate, inputs, purpose="validating")


def answers_by_windows(
    reference: Answer, candidate: Answer, inputs: Inputs, *, purpose: str
) -> Iterator[Answered]:
    """Yield what both segmenters answer to the pictures, one by one.

    The logits are those of `mean_logits`, (1, classes, H, W), the labels those of the picture itself.
    purpose: text of the progress bar. Raises TargetError where the candidate's answer is not finite.
    """
    images, prepared, batch = inputs.images, inputs.preprocessing, inputs.batch
    for image in track(images.pictures(prepared), purpose, total=len(images)):
        raw = inputs.raw_bytes
        found = mean_logits(candidate, image.pixels, prepared, raw_bytes=raw, batch=batch)[None]
        check_finite((found,), (image.entry.name,))
        exact = mean_logits(reference, image.pixels, prepared, raw_bytes=False, batch=batch)[None]
        yield Answered((exact,), (found,), image.labels, (image.entry.name,))
