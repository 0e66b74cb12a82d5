"""A set of images, with labels or without, which calibrates a model or measures it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import get_args

from convnext_edge.errors import ImageSetError
from convnext_edge.images.batches import (
    Batch,
    LoadedImage,
    SkipLog,
    SkippedImage,
    collate,
    keep_sound,
    load,
)
from convnext_edge.images.contents import UNLABELLED, Contents, Entry
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.images.transform import check_preprocessing
from convnext_edge.parallel import default_workers, ordered_map


@dataclass(frozen=True)
class ImageSet:
    """A named set of images in a fixed order; no image is decoded before `batches`."""

    name: str  # that of the definition, or the last part of the path
    classes: tuple[str, ...]  # names in the order of the labels; empty where the classes have no names
    entries: tuple[Entry, ...]  # the images
    contents: Contents = field(repr=False, compare=False)
    skip_log: SkipLog = field(default_factory=SkipLog, repr=False, compare=False)
    # What gave labels to names of classes: the order "text" or "natural" of the names, "names" in a given
    # order, or the "columns" of a table; None for labels of other kinds, and for none.
    numbered_by: str | None = None
    other_labels: tuple[
        int, ...
    ] = ()  # of each label, the one in the other order; empty where that is the same
    place: str = field(default="", compare=False)  # the whole path, where the set was opened by one
    categories: tuple[tuple[int, str], ...] = ()  # number and name of each class of objects
    whole: int | None = None  # images of the set that this one is a part of; None for a whole set
    # Names of the images among which broken ones are counted, where that is more than `entries`.
    shared: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def labelled(self) -> bool:
        """Whether any image has a label."""
        return (
            self.several
            or self.mapped
            or self.boxed
            or any(entry.label != UNLABELLED for entry in self.entries)
        )

    @property
    def several(self) -> bool:
        """Whether an image may have several labels, or none."""
        return any(entry.labels is not None for entry in self.entries)

    @property
    def mapped(self) -> bool:
        """Whether the images have label maps: a class for each pixel."""
        return any(entry.label_map is not None for entry in self.entries)

    @property
    def boxed(self) -> bool:
        """Whether the objects in the images are told, with boxes and classes."""
        return any(entry.objects is not None for entry in self.entries)

    @property
    def class_count(self) -> int:
        """How many classes there are, by their names, else by the largest label."""
        labels = (label for entry in self.entries for label in (entry.label, *(entry.labels or ())))
        return len(self.classes) or 1 + max(labels, default=-1)

    @property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """The broken images of this set that were left out so far, in the order of their names."""
        names = {entry.name for entry in self.entries}
        return tuple(image for image in self.skip_log.skipped if image.name in names)

    def skip(self, image: SkippedImage) -> None:
        """Leave a broken image out; raise ImageSetError where too many are, see `batches`."""
        drawn = self.shared or [entry.name for entry in self.entries]
        self.skip_log.add(image, total=self.whole or len(self), drawn=drawn)

    @property
    def hashes(self) -> list[str]:
        """The SHA-256 of each image's bytes, in hexadecimal, in order; the first use reads all images."""
        return self.contents.sha256([entry.name for entry in self.entries])

    @cached_property
    def digest(self) -> str:
        """The SHA-256 over names, labels and bytes of all images, in hexadecimal, whatever their order.

        The first use reads all images. A folder and an archive of that folder have the same digest.
        """
        lines = [f"{e.name}\0{e.label_text}\0{h}\n" for e, h in zip(self.entries, self.hashes, strict=True)]
        maps = [entry.label_map for entry in self.entries if entry.label_map is not None]
        lines += [f"{name}\0\0{h}\n" for name, h in zip(maps, self.contents.sha256(maps), strict=True)]
        return _sha256("".join(sorted(lines))).hex()

    def subset(self, count: int | None, seed: int) -> ImageSet:
        """Draw `count` images at random, in the order of the set; all of them where `count` is None.

        The same names, labels, count and seed give the same images everywhere. Where the set is
        labelled, each class gets its share of `count`, rounded down or up.

        Raises ImageSetError where `count` is less than 1 or more than the number of images.
        """
        if count is None:
            return self
        if not 1 <= count <= len(self):
            raise ImageSetError(
                f"{count} images asked of {self.name}, which has {len(self)} images",
                hint=f"Ask for 1 to {len(self)} images, or give a larger set.",
            )
        chosen = set(_systematic_sample(self.entries, count, seed))
        entries = tuple(entry for entry in self.entries if entry in chosen)
        return self.part(entries)

    def part(self, entries: tuple[Entry, ...]) -> ImageSet:
        """Return these images of the set; broken ones count as those of the whole set."""
        return replace(self, entries=entries, whole=self.whole or len(self))

    def share(self, entries: tuple[Entry, ...]) -> ImageSet:
        """Return these images for one of several processes; broken ones count as those of all processes."""
        names = tuple(entry.name for entry in self.entries)
        return replace(self, entries=entries, whole=self.whole or len(self), shared=names)

    def without_labels(self) -> ImageSet:
        """Return the set without its labels of any kind, and without names of classes."""
        bare = tuple(Entry(entry.name) for entry in self.entries)
        return replace(self, entries=bare, classes=(), numbered_by=None, other_labels=(), categories=())

    def with_other_labels(self, labels: tuple[int, ...]) -> ImageSet:
        """Return the set with the labels that another order of its classes would give, by label."""
        return replace(self, other_labels=labels)

    def batches(
        self, preprocessing: Preprocessing, *, batch: int, dtype: InputType, workers: int | None = None
    ) -> Iterator[Batch]:
        """Yield all images in order, `batch` at a time (the last batch may be smaller).

        dtype: "float32" for normalized values, "uint8" for the bytes as stored. workers: number of decoding
        threads, by default one for each CPU; the result does not depend on it.

        Broken images are left out, see `skipped`. Raises ImageSetError as soon as more than 1 % of the
        images of the whole set are broken, or more than 5 % (and more than one) of a part of it, or all.
        """
        workers = default_workers() if workers is None else workers
        _check_batches(batch, dtype, workers)
        check_preprocessing(preprocessing)
        sound = self._sound(preprocessing, batch, workers, whole=False)
        classes = self.class_count if self.several else None
        return collate(sound, preprocessing, batch=batch, dtype=dtype, classes=classes)

    def pictures(self, preprocessing: Preprocessing) -> Iterator[LoadedImage]:
        """Yield all images in order, at their own size; broken ones are left out as by `batches`."""
        check_preprocessing(preprocessing)
        return self._sound(preprocessing, 1, default_workers(), whole=True)

    def _sound(
        self, preprocessing: Preprocessing, batch: int, workers: int, *, whole: bool
    ) -> Iterator[LoadedImage]:
        read = partial(load, contents=self.contents, preprocessing=preprocessing, whole=whole)
        # The next batch is decoded while the caller works on this one.
        loaded = ordered_map(read, self.entries, workers=workers, look_ahead=batch + workers)
        return keep_sound(loaded, self.skip)


def overlap(a: ImageSet, b: ImageSet) -> int:
    """Return the number of different images (by the SHA-256 of their bytes) that are in both sets."""
    return len(set(a.hashes) & set(b.hashes))


def _systematic_sample(entries: tuple[Entry, ...], count: int, seed: int) -> list[Entry]:
    """Take every (n / count)-th of the n images, ordered by class and, within a class, at random.

    Systematic sampling gives every class its share and every image the same chance. It needs no special
    case for small classes, nor for more classes than `count`. The order comes from hashes, not from a random
    generator, so that the choice is the same under every version of Python.
    """
    ordered = sorted(entries, key=lambda entry: (entry.label, _sha256(f"{seed}/{entry.name}")))
    total = len(entries)
    phase = int.from_bytes(_sha256(f"{seed}")) % total
    return [ordered[(i * total + phase) // count] for i in range(count)]


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _check_batches(batch: int, dtype: str, workers: int) -> None:
    for name, value in (("batch", batch), ("workers", workers)):
        if value < 1:
            raise ImageSetError(f"{name} is {value}", hint="It must be at least 1.")
    if dtype not in get_args(InputType):
        raise ImageSetError(f"dtype {dtype!r} is not known", hint="It is float32 or uint8.")
