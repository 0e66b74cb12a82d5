"""Training images: which a step sees, and how they are cut, follow from seed and step alone.

So a run that goes on after a kill sees the same pixels as one that was never killed, and several processes
see together what one would see alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convnext_edge.errors import ImageSetError
from convnext_edge.images.batches import SkippedImage
from convnext_edge.images.contents import Entry
from convnext_edge.images.decoding import decode
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.parallel import default_workers, ordered_map
from convnext_edge.paths import AnyPath
from convnext_edge.progress import note

SMALLEST_AREA = 0.5  # of the image that a crop keeps; from scratch 0.08 is usual, to recover little is enough
ASPECT = 4 / 3  # of a crop, at most, as Inception's (Szegedy et al., 2014, arXiv:1409.4842)
HELD_OUT = 20  # one image in so many, where the user gives no images to measure on
MOST_HELD_OUT = 2000


@dataclass(frozen=True)
class TrainingBatch:
    """pixels: (N, 3, H, W) uint8. labels: (N,), -1 where unlabelled."""

    pixels: NDArray[np.uint8]
    labels: Tensor

    def normalized(self, preprocessing: Preprocessing) -> Tensor:
        """Float32, channels last: convolutions go backward three times as fast in that layout on a CPU."""
        images = torch.from_numpy(as_reference_takes(self.pixels, preprocessing))
        return images.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class TrainingImages:
    """An endless stream of shuffled, randomly cropped and mirrored images.

    input_type: of the student. batch: images of a step, of all processes together.
    """

    images: ImageSet
    preprocessing: Preprocessing
    input_type: InputType
    batch: int
    seed: int

    def batches(
        self, first: int, last: int, *, process: int = 0, processes: int = 1
    ) -> Iterator[TrainingBatch]:
        """Of the steps `first` to `last` - 1, the share of one of so many processes, which divide `batch`.

        Broken images are replaced, see `ImageSet.skipped`. Raises ImageSetError where more than 1 % are.
        """
        share = self.batch // processes
        starts = (step * self.batch + process * share for step in range(first, last))
        places = (place for start in starts for place in range(start, start + share))
        loaded = ordered_map(self.load, places, workers=default_workers(), look_ahead=2 * share)
        for _ in range(first, last):
            yield collate([next(loaded) for _ in range(share)])

    def load(self, place: int) -> tuple[NDArray[np.uint8], int]:
        """Image (3, H, W) and label at a place of the stream; for a broken one, the next of the set."""
        index = index_at(place, len(self.images), self.seed)
        while (image := self.decode(self.images.entries[index])) is None:
            index = (index + 1) % len(self.images)
        generator = np.random.default_rng((self.seed, place))
        return augment(image, self.preprocessing, generator), self.images.entries[index].label

    def decode(self, entry: Entry) -> Image.Image | None:
        """None where it is broken; raises ImageSetError where more than 1 % of the set are."""
        try:
            return decode(self.images.contents.read(entry.name))
        except ImageSetError as error:
            self.images.skip_log.add(SkippedImage(entry.name, error.message), total=len(self.images))
            return None


def collate(drawn: list[tuple[NDArray[np.uint8], int]]) -> TrainingBatch:
    pixels, labels = zip(*drawn, strict=True)
    return TrainingBatch(np.stack(pixels), torch.tensor(labels))


def index_at(place: int, count: int, seed: int) -> int:
    """Which of `count` images stands at a place of the endless shuffled stream."""
    return int(permutation(place // count, count, seed)[place % count])


@lru_cache(maxsize=2)  # a batch may reach from one epoch into the next
def permutation(epoch: int, count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def augment(image: Image.Image, preprocessing: Preprocessing, generator: Generator) -> NDArray[np.uint8]:
    """A random crop, resized, mirrored half of the time; (3, H, W) uint8, RGB."""
    edge = preprocessing.resolution
    filter = Image.Resampling[preprocessing.interpolation.upper()]
    cut = image.resize((edge, edge), filter, box=random_box(image.width, image.height, generator))
    if generator.random() < 0.5:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(cut).transpose(2, 0, 1)


def random_box(width: int, height: int, generator: Generator) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a crop that keeps at least half of the image."""
    area = width * height * generator.uniform(SMALLEST_AREA, 1)
    aspect = math.exp(generator.uniform(-math.log(ASPECT), math.log(ASPECT)))
    w, h = min(math.sqrt(area * aspect), width), min(math.sqrt(area / aspect), height)
    left, top = generator.uniform(0, width - w), generator.uniform(0, height - h)
    return left, top, left + w, top + h


def hold_out(images: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """Images to train with, and others to measure on: every twentieth, at most 2,000."""
    if len(images) < 2:
        raise ImageSetError(f"{images.name} has one image", hint="Give more to train with.")
    measured = images.subset(min(max(len(images) // HELD_OUT, 1), MOST_HELD_OUT), seed)
    names = {entry.name for entry in measured.entries}
    rest = tuple(entry for entry in images.entries if entry.name not in names)
    return replace(images, entries=rest), measured


def choose_images(
    train: AnyPath, data: AnyPath | None, data_root: Path | None, seed: int
) -> tuple[ImageSet, ImageSet]:
    """Images to train with, and images to measure on."""
    images = open_image_set(train, data_root=data_root, split="calibration")
    if data is not None:
        return images, open_image_set(data, data_root=data_root, split="evaluation")
    trained, measured = hold_out(images, seed)
    note(f"measuring on {len(measured)} images of {images.name}, which are not trained with")
    return trained, measured


def check_labels(images: ImageSet, classes: int) -> None:
    """Raises ImageSetError for labels that the model cannot learn from."""
    if not images.labelled:
        raise ImageSetError(
            f"{images.name} has no labels to give a weight to",
            hint="Leave --label-weight out: the reference's answers are enough.",
        )
    largest = max(entry.label for entry in images.entries)
    if largest >= classes:
        raise ImageSetError(
            f"{images.name} has label {largest}, the model tells {classes} classes apart",
            hint="Leave --label-weight out, or give images of the model's own classes.",
        )
