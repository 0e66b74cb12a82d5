"""Which class has which label, where an image set tells classes by the names of its folders.

Libraries number class folders in different orders: torchvision (ImageFolder), Hugging Face's datasets and
the official ConvNeXt sort the names as text (1, 10, 2), timm naturally (1, 2, 10): `natural_key` in
timm/utils/misc.py compares runs of digits as numbers, and all else in lower case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convnext_edge.errors import UsageError
from convnext_edge.images.companions import MAX_BYTES
from convnext_edge.images.contents import UNLABELLED, ClassOrder, Entry
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.texts import decode_text
from convnext_edge.reading import parse_json, shown

DIGITS = re.compile(r"(\d{1,1000})")  # Python refuses to read numbers that are much longer
# Searched from one end of a line only, so that the time grows with its length alone.
NUMBER_FIRST = re.compile(r"(\d+)[\s,;:]+(.+)")
FORMS = (
    'Give a text file with a name a line, or JSON: ["cat", "dog"], {"0": "cat", "1": "dog"},'
    ' {"cat": 0, "dog": 1} or {"0": ["n02123045", "cat"], ...}.'
)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return what to sort names naturally by; those that are equal but for case or zeros, as text."""
    parts = DIGITS.split(name.lower())  # every second is a number
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def sort_classes(names: Iterable[str], order: ClassOrder) -> tuple[str, ...]:
    """Return the names of classes in the order of their labels."""
    return tuple(sorted(names, key=natural_key) if order == "natural" else sorted(names))


def renumber(images: ImageSet, classes: Sequence[str], numbered_by: str) -> ImageSet:
    """Return the set with the labels of its classes' names in `classes`, which has all of them."""
    label_of = {name: label for label, name in enumerate(classes)}
    new = [label_of[name] for name in images.classes]
    entries = tuple(moved(entry, new) for entry in images.entries)
    return replace(images, classes=tuple(classes), entries=entries, numbered_by=numbered_by)


def moved(entry: Entry, new: Sequence[int]) -> Entry:
    """Return an image with the new numbers of its labels."""
    if entry.labels is not None:
        return replace(entry, labels=tuple(sorted(new[label] for label in entry.labels)))
    return entry if entry.label == UNLABELLED else replace(entry, label=new[entry.label])


def by_names(images: ImageSet, path: Path, classes: int) -> ImageSet:
    """Return the set with the labels that a file gives to names; it may lack some of the classes.

    classes: that the model tells apart. Raises UsageError for a file of another form, or of other classes.
    """
    columns = read_classes(path)
    if len(columns[0]) != classes:
        raise UsageError(
            f"--classes {path} names {len(columns[0])} classes, the model has {classes}",
            hint="Give the names of all classes of the model, in the order of its logits.",
        )
    if not images.classes:
        return replace(images, classes=columns[0])
    fitting = next((names for names in columns if set(images.classes) <= set(names)), None)
    if fitting is None:
        unknown = sorted(set(images.classes) - set(columns[0]))
        raise UsageError(
            f"--classes {path} has no {unknown[0]!r}, which is a class of {images.name}",
            hint="The names must be those of the folders.",
        )
    return renumber(images, fitting, "names")


def read_classes(path: Path) -> list[tuple[str, ...]]:
    """Return the names of classes by label; of a file with two names for each, a tuple of either.

    Raises UsageError for a file that cannot be read, or that leaves a label or a name open.
    """
    columns = [tuple(column) for column in zip(*read_rows(path, "--classes"), strict=True)]
    usable = [column for column in columns if len(set(column)) == len(column) and all(column)]
    if not usable:
        raise UsageError(f"--classes {path} names no classes, or one of them twice", hint=FORMS)
    return usable


def read_rows(path: Path, option: str) -> list[list[str]]:
    """Return the names of each label, by label, the one for people first; all have equally many.

    option: what a user typed before the path. Raises UsageError for a file that cannot be read as names.
    """
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has {path.stat().st_size} bytes, more than {MAX_BYTES}")
        text = decode_text(path.read_bytes()).strip()
        is_json = path.suffix.lower() == ".json" or text.startswith(("{", "["))
        return _json_rows(parse_json(text)) if is_json else _text_rows(text.splitlines())
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"{option} {path} cannot be read: {error}", hint=FORMS) from error


def _text_rows(lines: list[str]) -> list[list[str]]:
    """Return of each line its words together, and the first of them (of `n01440764 tench, Tinca tinca`)."""
    lines = [line.strip() for line in lines]
    for form, numbered in NUMBERED.items():
        found = [pair for line in lines if (pair := numbered(line))]
        numbers, names = ({pair[part] for pair in found} for part in (0, 1))
        counted = [set(map(str, range(first, first + len(lines)))) for first in (0, 1)]
        if len(lines) > 1 and numbers in counted and len(names) == len(lines):
            raise ValueError(f"its lines are `{form}`, not names alone")
    return [[line, line.partition(" ")[0]] for line in lines]


def _number_first(line: str) -> tuple[str, str] | None:
    """Return number and name of a line `0 cat`."""
    found = NUMBER_FIRST.fullmatch(line)
    return None if found is None else (found[1], found[2])


def _number_last(line: str) -> tuple[str, str] | None:
    """Return number and name of a line `cat 0`: read backwards, it is one of the other form."""
    found = _number_first(line[::-1])
    return None if found is None else (found[0][::-1], found[1][::-1])


NUMBERED = {"number name": _number_first, "name number": _number_last}


def _json_rows(value: Any) -> list[list[str]]:
    """Return the names of each label, a synset last; raise ValueError for JSON of another form."""
    if isinstance(value, dict):
        inverted = all(type(label) is int for label in value.values())
        pairs = [(str(b), a) if inverted else (a, b) for a, b in value.items()]
        by_label = dict(pairs)
        numbers = [str(label) for label in range(len(pairs))]
        if set(by_label) != set(numbers):
            raise ValueError("its labels are not 0, 1, 2 and so on, each once")
        value = [by_label[number] for number in numbers]
    if not isinstance(value, list):
        raise ValueError(f"it is {shown(value, json.dumps)}, neither a list nor an object")
    rows = [[names] if isinstance(names, str) else names for names in value]
    if not all(isinstance(row, list) and row and all(isinstance(name, str) for name in row) for row in rows):
        raise ValueError("it has names that are no text")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("some of its labels have more names than others")
    return [row[::-1] for row in rows]
