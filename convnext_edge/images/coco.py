"""Objects in pictures, as COCO's JSON tells them: boxes, classes and masks.

images/NAME.jpg, images/_annotations.coco.json       beside the pictures, also `annotations.json` or
                                                     `instances_*.json`
val2017/NAME.jpg, annotations/instances_val2017.json as COCO itself has them

A path names the folder with the pictures, or an archive that has the file beside them. Format:
cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from convnext_edge.errors import ImageSetError, first_few
from convnext_edge.images.coco_faults import Number, area_of, fault_of
from convnext_edge.images.companions import Companion
from convnext_edge.images.contents import Entry, Storage, Truth
from convnext_edge.images.texts import decode_text
from convnext_edge.progress import note
from convnext_edge.reading import Count, Line, Shape, check, parse_json, read_bytes, shown

BESIDE = ("_annotations.coco.json", "annotations.json")
NAMED = "instances_*.json"
REPAIR = "Repair it."
MAX_BYTES = 2**29  # COCO's own file of 118,000 pictures has 448 MB


class PictureShape(Shape):
    """Shape of a picture in a file."""

    id: Count
    file_name: Line
    width: Annotated[int, Field(ge=1, le=2**24)]
    height: Annotated[int, Field(ge=1, le=2**24)]


class CategoryShape(Shape):
    """Shape of a class in a file."""

    id: Count
    name: Line


class ObjectShape(Shape):
    """Shape of an object in a file; of the mask, pycocotools says whether it is one."""

    image_id: Count
    category_id: Count
    bbox: Annotated[list[Number], Field(min_length=4, max_length=4)]
    area: Annotated[float, Field(ge=0)] | None = None
    iscrowd: Annotated[int, Field(ge=0, le=1)] = 0
    segmentation: list[list[Number]] | dict[str, Any] | None = None


class CocoShape(Shape):
    """Shape of a file, as far as it is read."""

    images: list[PictureShape]
    annotations: list[ObjectShape]
    categories: Annotated[list[CategoryShape], Field(min_length=1)]


@dataclass(frozen=True)
class Scene:
    """All objects of a picture, as labels have it in a batch."""

    number: int  # of the picture, as the file has it
    size: tuple[int, int]  # width and height
    objects: tuple[Truth, ...]


@dataclass(frozen=True)
class Annotations:
    """The objects of all pictures by their names, and the classes."""

    entries: tuple[Entry, ...]
    categories: tuple[tuple[int, str], ...] = field(default=())  # number and name, in the file's order


def find_annotations(storage: Storage, prefix: str, path: Path) -> Companion | None:
    """Return the file that tells the objects in the pictures of a folder or an archive, if there is one.

    prefix: the folder of the pictures in an archive, with a trailing slash. Raises ImageSetError where there
    are several.
    """
    if not path.is_dir():
        inside = [name.removeprefix(prefix) for name in storage.names if name.startswith(prefix)]
        found = _chosen(inside, f"{path}/{prefix}".rstrip("/"))
        name = f"{prefix}{found}"
        return Companion(f"{path}/{name}", partial(storage.read, name)) if found else None
    found = _chosen([file.name for file in path.iterdir() if file.is_file()], str(path))
    whole = path.resolve()
    file = path / found if found else whole.parent / "annotations" / f"instances_{whole.name}.json"
    return Companion(str(file), partial(read_bytes, file, MAX_BYTES)) if file.is_file() else None


def _chosen(names: Sequence[str], where: str) -> str | None:
    """Return the name of the file of annotations among those of a folder, if there is one."""
    beside = [name for name in BESIDE if name in names]
    found = beside or sorted(name for name in names if "/" not in name and fnmatchcase(name, NAMED))
    if len(found) > 1:
        raise ImageSetError(
            f"{where} has several files of annotations: {first_few(found)}", hint="Leave one of them there."
        )
    return found[0] if found else None


def annotate(entries: Sequence[Entry], file: Companion) -> Annotations:
    """Return the pictures that a file tells of, with their objects.

    Raises ImageSetError for a damaged file, and for one of other pictures.
    """
    told, path = read_file(file), file.path
    for key, name in (("images", "id"), ("images", "file_name"), ("categories", "id")):
        check_unique(told[key], name, f"{path}: {key}")
    numbers = {category["id"] for category in told["categories"]}
    sizes = {row["id"]: (row["height"], row["width"]) for row in told["images"]}
    objects: dict[int, list[Truth]] = defaultdict(list)
    for place, row in enumerate(told["annotations"]):
        if fault := fault_of(row, numbers, sizes):
            raise ImageSetError(f"{path}: annotations[{place}] {fault}", hint=REPAIR)
        objects[row["image_id"]].append(truth(row))
    found = find_pictures(entries, told["images"], str(path))
    made = [
        replace(e, objects=tuple(objects[row["id"]]), number=row["id"], size=(row["width"], row["height"]))
        for e, row in found
    ]
    # mmdetection numbers classes by their places in the file (pycocotools' getCatIds), whatever their ids are
    categories = tuple((category["id"], category["name"]) for category in told["categories"])
    return Annotations(tuple(made), categories)


def check_unique(rows: Sequence[dict[str, Any]], key: str, where: str) -> None:
    """Raise ImageSetError where two rows have one value of a key, by which they are told apart."""
    value, count = Counter(row[key] for row in rows).most_common(1)[0] if rows else (None, 1)
    if count > 1:
        raise ImageSetError(f"{where} has the {key} {value!r} {count} times", hint=REPAIR)


def find_pictures(
    entries: Sequence[Entry], rows: Sequence[dict[str, Any]], path: str
) -> list[tuple[Entry, dict[str, Any]]]:
    """Return the pictures that a file tells of, each with its row of `images`; a note tells of all others.

    Folders in names are looked at where the rest of a name is not enough. Raises ImageSetError where that
    leaves several rows, or none for all pictures.
    """
    named: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        named[last_part(row["file_name"])].append(row)
    rows_of = [(entry, row_of(entry.name, named[last_part(entry.name)], path)) for entry in entries]
    found = [(entry, its) for entry, its in rows_of if its is not None]
    if not found:
        raise ImageSetError(
            f"{path} names none of the pictures, such as {entries[0].name}"
            + (f", but others, such as {shown(rows[0]['file_name'], str)}" if rows else ""),
            hint="Give the folder of its own pictures, or move it away.",
        )
    name, count = Counter(row["file_name"] for _, row in found).most_common(1)[0]
    if count > 1:
        raise ImageSetError(
            f"{path} names one picture {name}, and {count} here are called so",
            hint="Give the folder of its own pictures.",
        )
    if len(found) < max(len(entries), len(rows)):
        note(
            f"{path} tells of {len(rows)} pictures, and {len(entries)} are here:"
            f" the {len(found)} that are in both are taken"
        )
    return found


def row_of(name: str, rows: Sequence[dict[str, Any]], path: str) -> dict[str, Any] | None:
    """Return the row of a picture, if there is one; raise ImageSetError where several may be it.

    rows: those whose names have the same last part.
    """
    fitting = [row for row in rows if f"/{row['file_name']}".endswith(f"/{name}")]
    chosen = fitting if len(rows) > 1 else rows
    if len(chosen) > 1 or (rows and not chosen):
        raise ImageSetError(
            f"{path} names several pictures {last_part(name)}, such as"
            f" {first_few([row['file_name'] for row in rows])}: it does not tell which is {name}",
            hint="Give the folder that its names begin in.",
        )
    return chosen[0] if chosen else None


def last_part(name: str) -> str:
    """Return a name without the folders before it."""
    return name.rpartition("/")[2]


def read_file(file: Companion) -> dict[str, Any]:
    """Return what a file of annotations holds; raise ImageSetError where it is none."""
    try:
        told: dict[str, Any] = parse_json(decode_text(file.read()))
        check(told, CocoShape)
    except OSError as error:
        raise ImageSetError(
            f"{file.path} cannot be read: {error.strerror}", hint="Check the path."
        ) from error
    except ValueError as error:  # a DamagedError, or the encoding
        raise ImageSetError(
            f"{file.path} is damaged: {error}", hint="Get it again, or move it away."
        ) from error
    return told


def truth(row: dict[str, Any]) -> Truth:
    """Return an object of a file."""
    return Truth(
        label=row["category_id"],
        box=tuple(row["bbox"]),
        area=area_of(row),
        crowd=bool(row.get("iscrowd", 0)),
        mask=json.dumps(row["segmentation"]) if row.get("segmentation") else "",
    )


def scenes(entries: Sequence[Entry], sizes: Sequence[tuple[int, int]]) -> NDArray[np.object_]:
    """Return the labels of pictures with these widths and heights."""
    found = np.empty(len(entries), object)
    for place, (entry, size) in enumerate(zip(entries, sizes, strict=True)):
        found[place] = Scene(entry.number, size, entry.objects or ())
    return found
