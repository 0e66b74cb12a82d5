"""Decoded images, a batch at a time; broken ones are left out and reported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from convnext_edge.errors import ImageSetError
from convnext_edge.images.coco import scenes
from convnext_edge.images.contents import UNLABELLED, Contents, Entry
from convnext_edge.images.decoding import decode
from convnext_edge.images.label_maps import LabelMap, read_map
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.images.transform import normalize, preprocess, whole_picture

# (N,), 0-based, -1 where an image has none; where it may have several, (N, classes) whether it has each; of
# label maps, (N, H, W), -1 where a pixel has none; of objects, (N,) with a `Scene` each
Labels: TypeAlias = NDArray[np.int64] | NDArray[np.bool_] | NDArray[np.object_]
MAX_BROKEN_PERCENT = 1  # of the images of a whole set; with more, the set itself must be wrong
MAX_BROKEN_OF_SAMPLE_PERCENT = 5  # of those that are drawn from it; chance may put a few more among them
NAMED_IN_ERROR = 3  # broken images that the message names
GET_AGAIN = "Get these files again, correct them, or remove them from the set."


@dataclass(frozen=True)
class Batch:
    """N images in the form that a model takes, with their labels and names."""

    images: NDArray[np.float32] | NDArray[np.uint8]  # (N, channels, H, W); normalized, or bytes as stored
    labels: Labels
    names: tuple[str, ...]  # N names of the images within their set
    sizes: tuple[tuple[int, int], ...] = ()  # N widths and heights of the pictures, before they were prepared

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class SkippedImage:
    """An image that was left out because it is broken, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class LoadedImage:
    """An image of a set, decoded and, unless it is to be whole, cropped to the size that the model takes."""

    entry: Entry
    pixels: NDArray[np.uint8]  # (H, W, channels)
    label_map: LabelMap | None = None  # (H, W)
    size: tuple[int, int] = (0, 0)  # width and height of the picture

    @property
    def labels(self) -> LabelMap:
        """The label map as a batch of one, (1, H, W); of an image without one, no pixel has a label."""
        found = np.full(self.pixels.shape[:2], UNLABELLED) if self.label_map is None else self.label_map
        return found[None]


class SkipLog:
    """The broken images of one set that were left out so far, each once however often it is read.

    A set and its subsets share one log, so that an image counts as one of the whole set wherever it is met.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    @property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """The images that were left out, in the order of their names."""
        return tuple(SkippedImage(name, reason) for name, reason in sorted(self._reasons.items()))

    def add(self, image: SkippedImage, *, total: int, drawn: Collection[str]) -> None:
        """Add one image; raise ImageSetError where too many are broken.

        total: number of images of the whole set, of which 1 % may be broken. drawn: names of those that are
        looked at: of a part of the set, 5 % may be, and one always.
        """
        self._reasons[image.name] = image.reason
        whole, sample = len(self._reasons), len(self._reasons.keys() & set(drawn))
        allowed = max(1, MAX_BROKEN_OF_SAMPLE_PERCENT * len(drawn) // 100)
        if whole * 100 > MAX_BROKEN_PERCENT * total:
            raise self._too_many(whole, total, MAX_BROKEN_PERCENT)
        if sample > allowed:
            raise self._too_many(sample, len(drawn), MAX_BROKEN_OF_SAMPLE_PERCENT)

    def _too_many(self, broken: int, total: int, percent: int) -> ImageSetError:
        first = [f"{i.name}: {i.reason}" for i in self.skipped[:NAMED_IN_ERROR]]
        return ImageSetError(
            f"{broken} of {total} images are broken so far ({100 * broken / total:.1f} %; "
            f"at most {percent} % are left out): {'; '.join(first)}",
            hint=GET_AGAIN,
        )


def load(
    entry: Entry, contents: Contents, preprocessing: Preprocessing, *, whole: bool = False
) -> LoadedImage | SkippedImage:
    """Read, decode and transform one image; return a `SkippedImage` where it is broken.

    whole: whether it keeps its own size.
    """
    try:
        image = decode(contents.read(entry.name), len(preprocessing.mean), exif=preprocessing.exif)
        if entry.size is not None and entry.size != image.size:
            raise ImageSetError(other_size(image.size, entry.size))
        label_map = None
        if entry.label_map is not None:
            data = contents.read(entry.label_map)
            label_map = read_map(data, image.size, preprocessing, whole=whole)
        transform = whole_picture if whole else preprocess
        return LoadedImage(entry, transform(image, preprocessing), label_map, image.size)
    except ImageSetError as error:
        return SkippedImage(entry.name, error.message)


def other_size(size: tuple[int, int], told: tuple[int, int]) -> str:
    """Say that the objects in a picture are told in another size, in which their places mean nothing."""
    turned = ", as if one of them were turned by EXIF" if size == told[::-1] else ""
    return f"it has {size[0]}x{size[1]} pixels, and its annotations are of {told[0]}x{told[1]}{turned}"


def keep_sound(
    images: Iterable[LoadedImage | SkippedImage], skip: Callable[[SkippedImage], None]
) -> Iterator[LoadedImage]:
    """Yield the images that could be loaded, and call `skip` with each of the others.

    Raises ImageSetError where none could be, beside what `skip` raises.
    """
    sound, broken = 0, None
    for image in images:
        if isinstance(image, SkippedImage):
            broken = image
            skip(image)
        else:
            sound += 1
            yield image
    if broken is not None and not sound:
        raise ImageSetError(f"every image is broken, such as {broken.name}: {broken.reason}", hint=GET_AGAIN)


def collate(
    images: Iterable[LoadedImage],
    preprocessing: Preprocessing,
    *,
    batch: int,
    dtype: InputType,
    classes: int | None = None,
) -> Iterator[Batch]:
    """Yield batches of `batch` images; the last may be smaller.

    classes: how many there are, where an image may have several.
    """
    remaining = iter(images)
    while group := list(islice(remaining, batch)):
        pixels = _stack(group)
        yield Batch(
            images=pixels if dtype == "uint8" else normalize(pixels, preprocessing),
            labels=_labels(group, classes),
            names=tuple(image.entry.name for image in group),
            sizes=tuple(image.size for image in group),
        )


def _labels(group: Sequence[LoadedImage], classes: int | None) -> Labels:
    if any(image.entry.objects is not None for image in group):
        return scenes([image.entry for image in group], [image.size for image in group])
    maps = [image.label_map for image in group if image.label_map is not None]
    return np.stack(maps) if maps else labels_of([image.entry for image in group], classes)


def labels_of(entries: Sequence[Entry], classes: int | None) -> Labels:
    """Return the labels of images as `Batch` has them."""
    if classes is None:
        return np.array([entry.label for entry in entries], np.int64)
    own = [entry.labels or () for entry in entries]
    return np.array([[number in labels for number in range(classes)] for labels in own], bool)


def _stack(group: Sequence[LoadedImage]) -> NDArray[np.uint8]:
    stacked = np.stack([image.pixels for image in group])  # (N, H, W, channels)
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))  # (N, channels, H, W)
