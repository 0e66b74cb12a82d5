"""Training images: seed and step alone decide which images a step gets, and how they are cropped.

A run that continues after it was killed therefore sees the same pixels as a run that was never killed, and
several processes together see the same images as a single process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.errors import ImageSetError, UsageError
from convnext_edge.evaluation.trust import check_classes
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
from convnext_edge.tasks import Task

# Least fraction of the image that a crop keeps. Training from scratch uses 0.08; recovering needs less.
SMALLEST_AREA = 0.5
ASPECT = 4 / 3  # largest aspect ratio of a crop, as in Inception (Szegedy et al., 2014, arXiv:1409.4842)
HELD_OUT = 20  # one image in this many is held out, where the user gives no images to measure on
MOST_HELD_OUT = 2000  # images


@dataclass(frozen=True)
class TrainingBatch:
    """The images and labels of one step, or a process's share of them."""

    pixels: NDArray[np.uint8]  # (N, 3, H, W), RGB
    labels: Tensor  # (N,) int64, -1 where unlabelled

    def normalized(self, preprocessing: Preprocessing) -> Tensor:
        """Return the normalized images, (N, 3, H, W) float32, in the memory format `channels_last`.

        On a CPU, the backward pass of convolutions is three times as fast in that format.
        """
        images = torch.from_numpy(as_reference_takes(self.pixels, preprocessing))
        return images.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class TrainingImages:
    """An endless stream of shuffled, randomly cropped and mirrored images."""

    images: ImageSet
    preprocessing: Preprocessing
    input_type: InputType  # what the student takes
    batch: int  # images of a step, in all processes together
    seed: int

    def batches(
        self, first: int, last: int, *, process: int = 0, processes: int = 1
    ) -> Iterator[TrainingBatch]:
        """Yield one process's share of the batches of the steps `first` to `last` - 1.

        process: number of the process, 0-based. processes: their number, which divides `batch`.
        Broken images are replaced, see `ImageSet.skipped`. Raises ImageSetError where more than 1 % of the
        images are broken.
        """
        share = self.batch // processes
        starts = (step * self.batch + process * share for step in range(first, last))
        positions = (position for start in starts for position in range(start, start + share))
        loaded = ordered_map(self.load, positions, workers=default_workers(), look_ahead=2 * share)
        for _ in range(first, last):
            yield collate([next(loaded) for _ in range(share)])

    def load(self, position: int) -> tuple[NDArray[np.uint8], int]:
        """Return the image (3, H, W) and the label at a position of the stream.

        Where that image is broken, it is the next sound one of the set.
        """
        index = index_at(position, len(self.images), self.seed)
        while (image := self.decode(self.images.entries[index])) is None:
            index = (index + 1) % len(self.images)
        generator = np.random.default_rng((self.seed, position))
        return augment(image, self.preprocessing, generator), self.images.entries[index].label

    def decode(self, entry: Entry) -> Image.Image | None:
        """Return the decoded image, None where it is broken.

        Raises ImageSetError where more than 1 % of the images of the set are broken.
        """
        try:
            prepared = self.preprocessing
            data = self.images.contents.read(entry.name)
            return decode(data, len(prepared.mean), exif=prepared.exif)
        except ImageSetError as error:
            self.images.skip(SkippedImage(entry.name, error.message))
            return None


def collate(drawn: list[tuple[NDArray[np.uint8], int]]) -> TrainingBatch:
    """Make one batch of images (3, H, W) and their labels."""
    pixels, labels = zip(*drawn, strict=True)
    return TrainingBatch(np.stack(pixels), torch.tensor(labels))


def index_at(position: int, count: int, seed: int) -> int:
    """Return which of `count` images is at a position of the endless shuffled stream."""
    return int(permutation(position // count, count, seed)[position % count])


@lru_cache(maxsize=2)  # a batch may reach from one epoch into the next
def permutation(epoch: int, count: int, seed: int) -> NDArray[np.int64]:
    """Return the order of `count` images in an epoch; (count,), their indices."""
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def augment(image: Image.Image, preprocessing: Preprocessing, generator: Generator) -> NDArray[np.uint8]:
    """Return a random crop of the image, resized, and mirrored in half of the cases; (channels, H, W)."""
    height, width = preprocessing.size
    filter = Image.Resampling[preprocessing.interpolation.upper()]
    cut = image.resize((width, height), filter, box=random_box(image.width, image.height, generator))
    if generator.random() < 0.5:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.array(cut)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def random_box(width: int, height: int, generator: Generator) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a crop that keeps at least half of the image, in pixels."""
    area = width * height * generator.uniform(SMALLEST_AREA, 1)
    aspect = math.exp(generator.uniform(-math.log(ASPECT), math.log(ASPECT)))
    w, h = min(math.sqrt(area * aspect), width), min(math.sqrt(area / aspect), height)
    left, top = generator.uniform(0, width - w), generator.uniform(0, height - h)
    return left, top, left + w, top + h


def hold_out(images: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """Divide a set into images to train with and images to measure on: every twentieth, at most 2,000.

    Raises ImageSetError for a set of one image.
    """
    if len(images) < 2:
        raise ImageSetError(f"{images.name} has only one image", hint="Give more images to train with.")
    measured = images.subset(min(max(len(images) // HELD_OUT, 1), MOST_HELD_OUT), seed)
    names = {entry.name for entry in measured.entries}
    rest = tuple(entry for entry in images.entries if entry.name not in names)
    return images.part(rest), measured


def choose_images(
    train: AnyPath,
    data: AnyPath | None,
    data_root: AnyPath | None,
    seed: int,
    numbering: Numbering,
    model: Artifact,
) -> tuple[ImageSet, ImageSet]:
    """Return the images to train with and the images to measure on, numbered as the model's classes are.

    Where `data` is None, some of the images of `train` are held out to measure on. Raises ImageSetError where
    those of `data` are of other classes than the model's.
    """
    number = numbering.for_model(model.description)
    images = number(open_image_set(train, data_root=data_root, split="calibration"))
    if data is not None:
        measured = number(open_image_set(data, data_root=data_root, split="evaluation"))
        check_classes(measured, model)
        return images, measured
    trained, measured = hold_out(images, seed)
    note(f"measuring on {len(measured)} images of {images.name}, which are not used for training")
    return trained, measured


def check_task(task: Task) -> None:
    """Raise UsageError for a task that nobody tried to train."""
    if task in ("segment", "detect"):
        of = "logits of pixels" if task == "segment" else "heads of a detector"
        raise UsageError(
            f"finetune does not take task {task}: nobody tried to train the {of} by it",
            hint="Keep costly layers float: quantize with --min-agreement or --max-drop.",
        )


def check_labels(images: ImageSet, model: Artifact) -> None:
    """Raise ImageSetError for images without labels, or with labels that the model does not have."""
    if not images.labelled:
        raise ImageSetError(
            f"{images.name} has no labels, which --label-weight needs",
            hint="Leave --label-weight out: the logits of the reference are enough to train with.",
        )
    check_classes(images, model)
