"""Which files of a folder or an archive are images, and which class each image belongs to.

IMAGES...                 flat: the labels come from a text file beside them, or there are none
CLASS/.../IMAGES...       class folders, with folders in them or without: the labels count the outermost ones
                          in the order of their sorted names, as torchvision's ImageFolder does
FOLDER/...                one of these two, inside another folder
images/, annotations/     pictures and their label maps, see `label_maps`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.errors import ImageSetError, first_few
from convnext_edge.images.companions import Companion, above, beside, tables_above, tables_beside
from convnext_edge.images.contents import Entry, Storage
from convnext_edge.images.decoding import SUFFIXES
from convnext_edge.images.folders import MAX_DEPTH, is_hidden
from convnext_edge.images.label_maps import IMAGES, MAPS, pair
from convnext_edge.images.label_tables import SPLIT, is_about
from convnext_edge.images.labels import find_labels, is_imagenet_validation
from convnext_edge.images.synsets import synset_list
from convnext_edge.progress import note

SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Arrangement:
    """The images of a folder or an archive, and the classes that they belong to."""

    prefix: str  # folder that the names of the entries are relative to, with a trailing slash
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]  # names in the order of the labels; empty where the images have none
    numbered_by: str | None = None  # as of `ImageSet`


def arrange(storage: Storage, path: Path) -> Arrangement:
    """Find and label the images of `storage`, which lies at `path`.

    Raises ImageSetError where there are no images, where it is ambiguous which folders are classes, and
    where labels are wrong.
    """
    images = [name for name in storage.names if is_image(name)]
    if not images:
        raise ImageSetError(
            f"{path} holds no images (within {MAX_DEPTH} levels of folders)",
            hint=f"Give a folder or archive with files of these kinds: {' '.join(SUFFIXES)}.",
        )
    if pairs := tuple(pair(images, path)):
        return Arrangement("", tuple(Entry(name, label_map=its) for name, its in pairs), ())
    prefix = _wrapper(images)
    names = [name.removeprefix(prefix) for name in images]
    if _depth(names, path) == 0:
        return _flat(storage, path, prefix, names)
    return _class_folders(storage, path, prefix, names)


def is_image(name: str) -> bool:
    """Tell whether a file is an image, by its suffix."""
    return name.lower().endswith(SUFFIXES)


def _wrapper(images: Sequence[str]) -> str:
    """Return the path of the innermost folder that holds all images, with a trailing slash.

    A single folder is not a class, because it would distinguish nothing.
    """
    first, last = min(images), max(images)
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return first[: first.rfind("/", 0, shared) + 1]


def _depth(names: Sequence[str], path: Path) -> int:
    """Return how many folders are above each image at least: 0 for all, or 1 or more for all."""
    examples = {name.count("/"): name for name in reversed(names)}  # the first name of each depth
    if 0 in examples and len(examples) > 1:
        inside = next(name for depth, name in sorted(examples.items()) if depth)
        raise ImageSetError(
            f"{path} has images beside class folders, such as {examples[0]} and {inside}",
            hint="That is ambiguous: move these images into class folders, or out of the set.",
        )
    return min(examples)


def _check_folders(names: Sequence[str], classes: Sequence[str], path: Path) -> None:
    """Raise ImageSetError where the folders are splits of a set; say which folders are the classes."""
    if all(map(SPLIT.fullmatch, classes)):
        raise ImageSetError(
            f"{path} has the folders {', '.join(classes[:SHOWN])}, which are parts of a set and not classes",
            hint=f"Give one of them: {path / classes[0]}.",
        )
    if set(classes) == {IMAGES, MAPS}:
        raise ImageSetError(
            f"{path} has the folders {IMAGES} and {MAPS}, no classes, and no label map of a picture",
            hint=f"Give {path / IMAGES}; label maps of {IMAGES}/.../NAME.jpg are called {MAPS}/.../NAME.png.",
        )
    nested = next((name for name in names if name.count("/") > 1), None)
    if nested is not None:
        innermost = len({name.rpartition("/")[0].rpartition("/")[2] for name in names})
        note(
            f"{path.name} has folders in folders, such as {nested}: its classes are the {len(classes)}"
            f" outermost ones, as torchvision's ImageFolder takes them (timm takes the {innermost} innermost)"
        )


def _tell_empty(storage: Storage, path: Path, prefix: str, classes: Sequence[str]) -> None:
    """Say which folders beside the classes hold no images: without them, classes may have other numbers."""
    inside = [name.removeprefix(prefix) for name in storage.names if name.startswith(prefix)]
    found = {name.split("/")[0] for name in inside if "/" in name}
    if path.is_dir():
        found |= {f.name for f in (path / prefix).iterdir() if f.is_dir() and not is_hidden(f.name)}
    if empty := sorted(found - set(classes)):
        note(
            f"{path.name} has folders without images, which are no classes: {first_few(empty)};"
            f" the {len(classes)} others are numbered without them"
        )


def _flat(storage: Storage, path: Path, prefix: str, names: Sequence[str]) -> Arrangement:
    companions = beside(storage, prefix, path)
    companions += tables_around(storage, prefix, path, names)
    if is_imagenet_validation(names):
        # Only these names are unique enough to be looked up in files that lie further away.
        companions += above(storage, prefix, path)
    labelling = find_labels(names, companions)
    if labelling is None:
        return Arrangement(prefix, tuple(Entry(name) for name in names), ())
    several = labelling.several or (None,) * len(names)
    entries = tuple(map(Entry, names, labelling.labels, several))
    return Arrangement(prefix, entries, labelling.classes, labelling.numbered_by)


def tables_around(storage: Storage, prefix: str, path: Path, names: Sequence[str]) -> list[Companion]:
    """Return the tables (CSV) further up that are about these images, the nearest first.

    Those in folders of `storage` are, as it holds no other images; of those beside `path`, see `is_about`.
    """
    outside = [table for table in tables_beside(path) if is_about(table, names, path.stem)]
    return [*tables_above(storage, prefix, path), *outside]


def _class_folders(storage: Storage, path: Path, prefix: str, names: Sequence[str]) -> Arrangement:
    folders = [name.split("/")[0] for name in names]
    classes = tuple(sorted(set(folders)))
    _check_folders(names, classes, path)
    _tell_empty(storage, path, prefix, classes)
    # With a list of synsets beside the folders, some classes of ImageNet keep their numbers among all.
    listed = synset_list(beside(storage, prefix, path))
    numbered_by: str | None = "text"
    if set(classes) <= set(listed):
        classes, numbered_by = listed, None
    index = {name: label for label, name in enumerate(classes)}
    entries = tuple(Entry(name, index[folder]) for name, folder in zip(names, folders, strict=True))
    return Arrangement(prefix, entries, classes, numbered_by)
