"""Labels of a flat folder, from text files of `name label` lines or from the devkit of ImageNet.

Labels are 0-based, in the order of sorted synset ids (n01440764 is 0), as all published ImageNet
checkpoints have them. The devkit counts in another way: its ILSVRC2012_ID is 1-based and in an order of
its own, so its ground truth needs a file that says which id is which synset.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import PurePosixPath

from convnext_edge.errors import ImageSetError
from convnext_edge.images.companions import Companion
from convnext_edge.images.contents import COLUMNS, UNLABELLED
from convnext_edge.images.label_tables import NUMBER, Told, read_tables
from convnext_edge.images.synsets import SYNSET, devkit_synsets, synset_list
from convnext_edge.progress import note
from convnext_edge.reading import shown

VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_\d{8}\.\w+")
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
IMAGENET_CLASSES = 1000
MOST_DIGITS = 9  # of a label
MOST_CLASSES = 100_000  # of a table: an image that may have several labels has a value for each
INTEGER = re.compile(r"-?\d+")
WHOLE = re.compile(r"-?\d+\.0")


@dataclass(frozen=True)
class Labelling:
    """The labels of a set of images, and the names of the classes."""

    labels: tuple[int, ...]  # one for each image, in the order of the images; 0-based
    classes: tuple[str, ...]  # names in the order of the labels; empty where unknown
    # Where an image may have several labels or none, all of each image; `labels` is -1 there.
    several: tuple[tuple[int, ...], ...] = ()
    numbered_by: str | None = None  # as of `ImageSet`


def is_imagenet_validation(images: Sequence[str]) -> bool:
    """Tell whether all images have names of the ILSVRC 2012 validation set."""
    return all(VALIDATION_IMAGE.fullmatch(name) for name in images)


def find_labels(images: Sequence[str], companions: Sequence[Companion]) -> Labelling | None:
    """Find the labels of `images` in the nearest file that has any; None where no file has.

    companions: the files to look in, the nearest first. Raises ImageSetError for labels that are incomplete,
    contradictory or out of range, and for a ground truth of the devkit that cannot be converted.
    """
    table = read_tables(images, [companion for companion in companions if not _is_plain(companion)])
    others = [companion for companion in companions if table is None or companion is not table.companion]
    named = _find_label_file(images, others)
    if named is not None and table is not None:
        raise ImageSetError(
            f"the images have labels in {table.companion.path}, and in other lines of `name label`",
            hint="Leave only the right file.",
        )
    if table is not None:
        return _from_table(table, images, synset_list(companions))
    if named is not None:
        return named
    ground_truth = next((c for c in companions if c.name == GROUND_TRUTH), None)
    if ground_truth is not None and is_imagenet_validation(images):
        return _from_ground_truth(images, ground_truth, companions)
    return None


def _is_plain(companion: Companion) -> bool:
    """Tell whether all lines are `name label`, perhaps below titles."""
    return all(map(_is_label_row, companion.rows()[1:]))


def _find_label_file(images: Sequence[str], companions: Sequence[Companion]) -> Labelling | None:
    """Return the labels from the nearest folder that has a label file; None where no folder has."""
    for _, neighbours in groupby(companions, key=lambda companion: companion.folder):
        words_by_file = {companion: _label_words(images, companion) for companion in neighbours}
        found = {
            companion.path: _from_words(images, words, companion, synset_list(companions))
            for companion, words in words_by_file.items()
            if any(words)
        }
        if found:
            return _agreed(found)
    return None


def _agreed(found: dict[str, Labelling]) -> Labelling:
    if len(set(found.values())) > 1:
        raise ImageSetError(
            f"the images have several label files, which contradict each other: {', '.join(found)}",
            hint="Leave only the right one.",
        )
    return next(iter(found.values()))


def _label_words(images: Sequence[str], companion: Companion) -> list[str]:
    """Return the word that `companion` has for each image; empty where it has none.

    An image is found by its name, with its suffix or without.
    """
    rows = companion.rows()
    labels = [] if any(map(_is_value_row, rows)) else filter(_is_label_row, rows)
    pairs = [(PurePosixPath(row[0]).name, row[1]) for row in labels]
    words = dict(pairs)
    other = {name: word for name, word in pairs if word != words[name]}
    keys = [name if name in words else PurePosixPath(name).stem for name in images]
    for key in other.keys() & set(keys):
        raise ImageSetError(
            f"{companion.path} gives {key} two labels: {other[key]} and {words[key]}",
            hint="Leave one line for each image; names are compared without their folders.",
        )
    if not any(key in words for key in keys):
        _note_unread(images, companion, rows)
    return [words.get(key, "") for key in keys]


def _note_unread(images: Sequence[str], companion: Companion, rows: list[list[str]]) -> None:
    """Say that a file names the images and is not understood, where it names half of them."""
    cells = {cell.strip("\"'").replace("\\", "/").rpartition("/")[2] for row in rows for cell in row}
    if 2 * sum(name in cells for name in images) > len(images):
        note(
            f"no labels are taken from {companion.path}: it names images, but not in lines of `name label`,"
            " nor in a table with a column `label` or `labels`"
        )
        return
    lower = {PurePosixPath(cell.lower()).stem for cell in cells}
    if 2 * sum(PurePosixPath(name.lower()).stem in lower for name in images) > len(images):
        note(
            f"no labels are taken from {companion.path}: it names images, but with capitals or suffixes that"
            " the files do not have"
        )


def _is_label_row(row: list[str]) -> bool:
    """Tell whether a line is `name label`, or `name synset` and boxes as in Kaggle's LOC_val_solution.csv."""
    if len(row) == 2 and INTEGER.fullmatch(row[1]):
        return True
    return len(row) >= 2 and SYNSET.fullmatch(row[1]) is not None


def _is_value_row(row: list[str]) -> bool:
    """Tell whether a line is `name 0.5`, as of a regression: whole numbers beside are no labels then."""
    return len(row) == 2 and NUMBER.fullmatch(row[1]) is not None and not INTEGER.fullmatch(row[1])


def _from_words(
    images: Sequence[str], words: list[str], companion: Companion, synsets: tuple[str, ...]
) -> Labelling:
    companion.check_encoding()
    missing = [name for name, word in zip(images, words, strict=True) if not word]
    if missing:
        raise ImageSetError(
            f"{companion.path} has no label for {len(missing)} of {len(images)} images, such as {missing[0]}",
            hint="Give a label file that is complete, or remove it to use the images without labels.",
        )
    if all(map(SYNSET.fullmatch, words)):
        if not synsets and is_imagenet_validation(images):
            synsets = _all_of_imagenet(words, companion)
        return _from_synsets(words, companion, synsets)
    if any(map(SYNSET.fullmatch, words)):
        raise ImageSetError(
            f"{companion.path} mixes numbers and synset ids", hint="Use one kind of label for all images."
        )
    return _from_numbers([_number(word, companion) for word in words], companion, synsets, images)


def _from_table(told: Told, images: Sequence[str], synsets: tuple[str, ...]) -> Labelling:
    """Return the labels of a table: by the columns of the classes, by numbers, or by names as text."""
    words = {word for words in told.words for word in words}
    if not told.classes and all(map(WHOLE.fullmatch, words)):  # pandas writes numbers so, where some lack
        told = replace(told, words=tuple(tuple(w.partition(".")[0] for w in own) for own in told.words))
    known = sorted({word for words in told.words for word in words})
    if not known:
        raise ImageSetError(f"{told.companion.path} gives no image a label", hint="Write some, or remove it.")
    if told.classes:
        found = Labelling((), told.classes, numbered_by=COLUMNS)
    elif all(map(INTEGER.fullmatch, known)):
        numbers = [_number(word, told.companion) for word in known]
        found = _from_numbers(numbers, told.companion, synsets, images)
    elif all(map(SYNSET.fullmatch, known)):
        found = _from_synsets(known, told.companion, synsets)
    elif any(map(INTEGER.fullmatch, known)):
        raise ImageSetError(
            f"{told.companion.path} mixes numbers and names: {known[0]} and {known[-1]}",
            hint="Use one kind of label for all images.",
        )
    else:
        found = Labelling((), tuple(known), numbered_by="text")
    named = zip(found.classes, range(len(found.classes)), strict=True)
    number = dict(zip(known, found.labels, strict=True) if found.labels else named)
    labels = [tuple(sorted(number[word] for word in words)) for words in told.words]
    most = max(number[word] for word in known)
    if most >= MOST_CLASSES:
        raise ImageSetError(
            f"{told.companion.path} has the label {most}, of more than {MOST_CLASSES} classes",
            hint="Labels are 0-based indices of the classes.",
        )
    if all(len(own) == 1 for own in labels):
        return replace(found, labels=tuple(own[0] for own in labels))
    return replace(found, labels=(UNLABELLED,) * len(labels), several=tuple(labels))


def _all_of_imagenet(words: list[str], source: Companion) -> tuple[str, ...]:
    """Return the synsets that label the images; raise ImageSetError where a class of ImageNet is missing."""
    synsets = tuple(sorted(set(words)))
    if len(synsets) != IMAGENET_CLASSES:
        raise ImageSetError(
            f"{source.path} names {len(synsets)} synsets, not all {IMAGENET_CLASSES} that number the classes",
            hint="Put the list of all of them, such as synset_words.txt, beside the images.",
        )
    return synsets


def _from_synsets(words: list[str], source: Companion, synsets: tuple[str, ...]) -> Labelling:
    classes = synsets or tuple(sorted(set(words)))
    unknown = sorted(set(words) - set(classes))
    if unknown:
        raise ImageSetError(
            f"{source.path} has the synset {unknown[0]}, which is not among the {len(classes)} listed ones",
            hint="Use the list of synsets (synset_words.txt) that belongs to these images.",
        )
    index = {synset: label for label, synset in enumerate(classes)}
    return Labelling(tuple(index[word] for word in words), classes)


def _from_numbers(
    labels: list[int], source: Companion, synsets: tuple[str, ...], images: Sequence[str]
) -> Labelling:
    classes = len(synsets)
    if not classes and is_imagenet_validation(images):
        classes = IMAGENET_CLASSES
    outside = [label for label in labels if label < 0 or (classes and label >= classes)]
    if outside:
        raise ImageSetError(
            f"{source.path} has the label {outside[0]}, outside of 0..{classes - 1 if classes else ''}",
            hint="Labels are 0-based, in the order of sorted synset ids: subtract 1 if they start at 1.",
        )
    return Labelling(tuple(labels), synsets)


def _number(word: str, source: Companion) -> int:
    if len(word) > MOST_DIGITS:
        raise ImageSetError(
            f"{source.path} has the label {shown(word)}, which is beyond any number of classes",
            hint="Give the number of a class, counted from 0, or a synset id.",
        )
    return int(word)


def _from_ground_truth(
    images: Sequence[str], ground_truth: Companion, companions: Sequence[Companion]
) -> Labelling:
    synset_by_id = devkit_synsets(companions)
    if len(synset_by_id) != IMAGENET_CLASSES:
        raise ImageSetError(
            f"{ground_truth.path} numbers the classes in an order of its own, which no file here explains",
            hint="Put map_clsloc.txt (`synset id` lines) beside it, or the devkit's meta.mat with SciPy "
            "installed, or use a `name label` file such as val_map.txt.",
        )
    ground_truth.check_encoding()
    ids = [_number(row[0], ground_truth) for row in ground_truth.rows() if row[0].isdecimal()]
    numbers = [_image_number(name) for name in images]
    if max(numbers) > len(ids) or not set(ids) <= set(synset_by_id):
        raise ImageSetError(
            f"{ground_truth.path} has {len(ids)} lines, with ids up to {max(ids, default=0)}: too few for "
            f"image {max(numbers)}, or not of the {len(synset_by_id)} known ids",
            hint="Get the devkit (ILSVRC2012_devkit_t12) again.",
        )
    classes = tuple(sorted(synset_by_id.values()))
    return _from_synsets([synset_by_id[ids[number - 1]] for number in numbers], ground_truth, classes)


def _image_number(name: str) -> int:
    """Return the 1-based line of the ground truth: ILSVRC2012_val_00000347.JPEG is on line 347."""
    return int(PurePosixPath(name).stem.removeprefix("ILSVRC2012_val_"))
