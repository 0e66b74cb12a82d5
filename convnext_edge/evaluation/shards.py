"""One validation by several processes: each answers a share of the images, and the answers are put together.

What is put together is what one process would have: batches of the same images in the same order, so that
even the sums of rounding errors are the same. A broken image moves all that follow it to other places in
their batches, so shares are cut from the images that are known to be sound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from convnext_edge.evaluation.comparison import Answer, Answered, check_finite
from convnext_edge.images.batches import SkippedImage, labels_of
from convnext_edge.images.contents import Entry
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.progress import track
from convnext_edge.targets.base import Outputs
from convnext_edge.tasks import Task

SMALLEST = 1024  # images of a share, with which opening the models takes little of the time
MOST = 64  # shares of a validation
# Of other tasks, and of several outputs, one of which is a map, the answers take too much memory.
SHARED: tuple[Task, ...] = ("classify", "multilabel", "regress", "embed")


@dataclass(frozen=True)
class Share:
    """Which of the images one process answers."""

    number: int = 0  # of the share, 0-based
    shares: int = 1
    broken: tuple[SkippedImage, ...] = ()  # images of all shares that are known to be broken

    def of(self, images: ImageSet, batch: int) -> ImageSet:
        """Return its images: whole batches, but for the last one of the last share."""
        sound = sound_entries(images, {image.name for image in self.broken})
        batches = -(-len(sound) // batch)
        low, high = (batch * (batches * i // self.shares) for i in (self.number, self.number + 1))
        return images.share(sound[low:high])


@dataclass(frozen=True)
class Shard:
    """What one model answers to a share of the images."""

    outputs: Outputs  # each (N, ...); none where the share has no sound image
    names: tuple[str, ...]  # of the N images
    skipped: tuple[SkippedImage, ...]
    pixels: tuple[bytes, ...] = ()  # of the reference: digests that the N answers are kept by
    known: int = 0  # of the reference: images whose answers were kept before


def sound_entries(images: ImageSet, broken: Collection[str]) -> tuple[Entry, ...]:
    """Return the images that are not known to be broken, in order."""
    return tuple(entry for entry in images.entries if entry.name not in broken)


def can_share(task: Task, outputs: Sequence[str]) -> bool:
    """Return whether a validation may be cut into shares."""
    return task in SHARED and len(outputs) == 1


def shares_of(images: int) -> int:
    """Return into how many shares that many images are cut."""
    return min(max(images // SMALLEST, 1), MOST)


def answer_share(
    answer: Answer, images: ImageSet, preprocessing: Preprocessing, *, batch: int, dtype: InputType
) -> Shard:
    """Return what a model answers to the images of a share; raise TargetError where it is not finite."""
    found: list[Outputs] = []
    names: list[str] = []
    batches = images.batches(preprocessing, batch=batch, dtype=dtype) if images.entries else ()
    for each in track(batches, "validating", total=len(images), step=batch):
        outputs = answer(each.images)
        check_finite(outputs, each.names)
        found.append(outputs)
        names += each.names
    joined = tuple(np.concatenate(column) for column in zip(*found, strict=True))
    return Shard(joined, tuple(names), images.skipped)


def join_answers(
    reference: Sequence[Shard], candidate: Sequence[Shard], images: ImageSet, *, batch: int
) -> Iterator[Answered]:
    """Yield what both models answer to all images, in the batches of one process.

    reference, candidate: all shares of each, in order. Raises ImageSetError where too many are broken.
    """
    for image in {image.name: image for shard in reference for image in shard.skipped}.values():
        images.skip(image)
    sound = sound_entries(images, {image.name for image in images.skipped})
    names = tuple(entry.name for entry in sound)
    classes = images.class_count if images.several else None
    answers = [whole(shards, names) for shards in (reference, candidate)]
    for low in range(0, len(sound), batch):
        part = slice(low, low + batch)
        exact, answer = (tuple(output[part] for output in outputs) for outputs in answers)
        yield Answered(exact, answer, labels_of(sound[part], classes), names[part])


def whole(shards: Sequence[Shard], names: tuple[str, ...]) -> Outputs:
    """Return what a model answers to all images; raise ValueError where shares are not of these images."""
    if tuple(name for shard in shards for name in shard.names) != names:
        raise ValueError("shares of a validation do not fit together: their images are not those of the set")
    filled = [shard.outputs for shard in shards if shard.names]
    return tuple(np.concatenate(column) for column in zip(*filled, strict=True))
