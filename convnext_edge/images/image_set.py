"""A set of images, labelled or not: what calibrates a model, and what measures it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import get_args

from convnext_edge.errors import ImageSetError
from convnext_edge.images.batches import Batch, SkipLog, SkippedImage, collate, keep_sound, load
from convnext_edge.images.contents import UNLABELLED, Contents, Entry
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.images.transform import check_preprocessing
from convnext_edge.parallel import default_workers, ordered_map


@dataclass(frozen=True)
class ImageSet:
    """Images with a name, in a fixed order; nothing is decoded before `batches`.

    name: of the definition, or the last part of the path. classes: names in the order of the labels;
    empty where the labels come without names, or there are none. entries: the images.
    """

    name: str
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    contents: Contents = field(repr=False, compare=False)
    skip_log: SkipLog = field(default_factory=SkipLog, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def labelled(self) -> bool:
        return any(entry.label != UNLABELLED for entry in self.entries)

    @property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """The broken images that `batches` has left out so far, by name."""
        return self.skip_log.skipped

    @property
    def hashes(self) -> list[str]:
        """Hex SHA-256 of the content of each image, in order. The first use reads all images."""
        return self.contents.sha256([entry.name for entry in self.entries])

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over name, label and content of all images, whatever their order.

        The first use reads all images. A folder and an archive of it have the same digest.
        """
        lines = (f"{e.name}\0{e.label}\0{h}\n" for e, h in zip(self.entries, self.hashes, strict=True))
        return _sha256("".join(sorted(lines))).hex()

    def subset(self, count: int | None, seed: int) -> ImageSet:
        """`count` images drawn by `seed`, in the order of the set; all of them where count is None.

        The same names, labels, count and seed give the same images everywhere. Where the set is
        labelled, each class gets its share of `count`, rounded down or up.

        Raises ImageSetError where `count` is not within 1 and the number of images.
        """
        if count is None:
            return self
        if not 1 <= count <= len(self):
            raise ImageSetError(
                f"{count} images asked of {self.name}, which has {len(self)}",
                hint=f"Ask for 1 to {len(self)} images, or give a larger set.",
            )
        chosen = set(_systematic_sample(self.entries, count, seed))
        entries = tuple(entry for entry in self.entries if entry in chosen)
        return replace(self, entries=entries, skip_log=SkipLog())

    def batches(
        self, preprocessing: Preprocessing, *, batch: int, dtype: InputType, workers: int | None = None
    ) -> Iterator[Batch]:
        """All images in order, `batch` at a time (the last batch may be smaller).

        dtype: "float32" normalized, or "uint8" as stored. workers: decoding threads, one a CPU by
        default; the result does not depend on them.

        Broken images are left out, see `skipped`. Raises ImageSetError as soon as more than 1 % of the
        set are broken.
        """
        workers = default_workers() if workers is None else workers
        _check_batches(batch, dtype, workers)
        check_preprocessing(preprocessing)
        read = partial(load, contents=self.contents, preprocessing=preprocessing)
        # The next batch is decoded while the caller works on this one.
        loaded = ordered_map(read, self.entries, workers=workers, look_ahead=batch + workers)
        sound = keep_sound(loaded, self.skip_log, total=len(self))
        return collate(sound, preprocessing, batch=batch, dtype=dtype)


def overlap(a: ImageSet, b: ImageSet) -> int:
    """Number of different images (by SHA-256 of the content) that are in both sets."""
    return len(set(a.hashes) & set(b.hashes))


def _systematic_sample(entries: tuple[Entry, ...], count: int, seed: int) -> list[Entry]:
    """Every (n / count)-th of the n images, ordered by class and, within it, at random.

    Systematic sampling gives every class its share and every image the same chance, without a case for
    classes that are small or more numerous than `count`. Hashes in place of a generator keep the choice
    the same under every version of Python.
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
