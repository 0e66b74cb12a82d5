"""Labels from a table (CSV, TSV) with a header: a column of file names, and what each image shows.

FILE, CLASS, CLASS, ...   a column of 0 and 1 for each class, as CheXpert and many of Kaggle's sets have
FILE, labels              the names of all classes of an image, as Planet has them: between `|`, `;`, `,` or
                          spaces
FILE, label               one name; of two columns, without a header as well
FILE label                the same in a text file, of all images
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from convnext_edge.errors import ImageSetError, first_few
from convnext_edge.images.companions import TABLES, Companion
from convnext_edge.images.texts import decode_leniently, decode_text
from convnext_edge.progress import note
from convnext_edge.reading import shown

DELIMITERS = (",", "\t", ";")
OF_TEXTS = (" ", "\t", ",")  # between the two words of a line
YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false")
UNSURE = ("-1", "-1.0", "")  # what CheXpert has where the report is uncertain, or silent
ONE = ("label", "class", "category", "class_name", "label_name")  # titles of a column with one name
MANY = ("labels", "classes", "categories", "tags")  # and with several
BETWEEN = ("|", ";")  # names, beside spaces; under a title of MANY, commas as well
# The parts that sets of images are kept in: train, val_images, test-set
SPLIT = re.compile(
    r"(?i)(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval(uation)?)([ _-]?(images?|imgs?|set|data))?"
)
NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """A table that names images."""

    companion: Companion
    header: tuple[str, ...]
    rows: dict[str, list[str]]  # cells of each image, in the order of the images
    names: frozenset[int]  # columns that name the images

    def column(self, number: int) -> list[str]:
        """Return the cells of a column, of all images."""
        return [row[number].strip() for row in self.rows.values()]

    def titles(self, numbers: Sequence[int]) -> str:
        """Return the titles of columns, for a message."""
        return first_few([shown(self.header[number], repr) for number in numbers])


@dataclass(frozen=True)
class Told:
    """What a table tells of the images."""

    companion: Companion
    words: tuple[tuple[str, ...], ...]  # of each image, in the order of the images
    classes: tuple[str, ...] = ()  # in the order of their columns; empty where names are in one


def read_tables(images: Sequence[str], companions: Sequence[Companion]) -> Told | None:
    """Return what the nearest table tells of the images; None where none does.

    Raises ImageSetError for a table that can be read in two ways, that lacks images, or that contradicts
    another.
    """
    told = [found for companion in companions if (found := read_table(images, companion)) is not None]
    nearest = [one for one in told if one.companion.folder == told[0].companion.folder]
    if len({(one.words, one.classes) for one in nearest}) > 1:
        raise ImageSetError(
            "the images have several label files, which contradict each other:"
            f" {', '.join(one.companion.path for one in nearest)}",
            hint="Leave only the right one.",
        )
    return nearest[0] if nearest else None


def read_table(images: Sequence[str], companion: Companion) -> Told | None:
    """Return what one table tells; None for a file that is none, or that tells no labels."""
    table = find_table(images, companion)
    if table is None:
        return None
    others = [number for number in range(len(table.header)) if number not in table.names]
    titled = [number for number in others if table.header[number].strip().lower() in (*ONE, *MANY)]
    if len(titled) > 1:
        raise ambiguous(companion, f"has several columns that may be labels: {table.titles(titled)}")
    flags = [number for number in others if set(map(str.lower, table.column(number))) <= {*YES, *NO, *UNSURE}]
    if titled or (len(others) == 1 and may_be_names(table.column(others[0]))):
        told = by_names(table, titled[0] if titled else others[0])
    elif len(flags) > 1:
        told = by_flags(table, flags, [number for number in others if number not in flags])
    else:
        return None
    check_all(table, images)
    companion.check_encoding()
    return told


def find_table(images: Sequence[str], companion: Companion) -> Table | None:
    """Return the table in a file; of a text, only one of two words a line, without titles, for all images."""
    text = companion.name.lower().endswith(".txt")
    if not text and not companion.name.lower().endswith(TABLES):
        return None
    marks = OF_TEXTS if text else DELIMITERS
    table = next((found for mark in marks if (found := parse(images, companion, mark))), None)
    if text and table is not None and (any(table.header) or len(table.rows) < len(images)):
        return None
    return table


def parse(images: Sequence[str], companion: Companion, mark: str) -> Table | None:
    """Read a file as cells between marks; None where no column names images, or the first line does."""
    return parse_lines(images, companion, cells_of(companion, mark))


def parse_lines(images: Sequence[str], companion: Companion, lines: list[list[str]]) -> Table | None:
    """Read lines of cells as `parse` does; of two columns, a first line that names an image is no header."""
    if len(lines) < 2 or len(lines[0]) < 2:
        return None
    keys = keys_of(images)
    found = [[keys.get(base(cell), "") for cell in column] for column in columns_of(lines)]
    counts = [len({*column} - {""}) for column in found]
    most = max(counts)
    if most and len(lines[0]) == 2 and any(column[0] for column in found):
        return parse_lines(images, companion, [["", ""], *lines])
    if not most or any(column[0] for column in found):
        return None
    whole = set(images)
    exact = [len({base(cell) for cell in column} & whole) for column in columns_of(lines)]
    named = max(range(len(counts)), key=lambda number: (counts[number], exact[number], -number))
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(lines[1:], 2):
        image = keys.get(base(line[named]), "") if named < len(line) else ""
        if image and len(line) != len(lines[0]):
            raise ImageSetError(
                f"{companion.path} has {len(line)} cells in line {number}, and {len(lines[0])} titles",
                hint="Put cells that contain the mark between cells in quotes.",
            )
        if image and rows.get(image, line) != line:
            raise ImageSetError(
                f"{companion.path} has two lines for {image}",
                hint=f"Give one line for each image, with its labels between {BETWEEN[0]}.",
            )
        if image:
            rows[image] = line
    names = frozenset(number for number in range(len(counts)) if number == named or exact[number] == most)
    return Table(companion, tuple(lines[0]), {name: rows[name] for name in images if name in rows}, names)


def cells_of(companion: Companion, mark: str) -> list[list[str]]:
    """Return the cells of each line that is not empty; none where the file is no table."""
    data = companion.read()
    try:
        text = decode_text(data)
    except ValueError:
        text = decode_leniently(data)  # whoever goes by these cells calls `check_encoding`
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=mark)  # a line may end with CR alone
        return [line for line in lines if any(map(str.strip, line))]
    except csv.Error:
        return []


def columns_of(lines: list[list[str]]) -> Iterator[list[str]]:
    """Yield the cells of each column of the header; of shorter lines, nothing."""
    for number in range(len(lines[0])):
        yield [line[number] if number < len(line) else "" for line in lines]


def keys_of(images: Sequence[str]) -> dict[str, str]:
    """Return each image by its name, and by its name without suffix where only one has that."""
    counts = Counter(PurePosixPath(name).stem for name in images)
    alone = {stem: name for name in images if counts[stem := PurePosixPath(name).stem] == 1}
    return {**alone, **{name: name for name in images}}


def base(cell: str) -> str:
    """Return the last part of a path in a cell."""
    return cell.strip().replace("\\", "/").rpartition("/")[2]


def by_flags(table: Table, flags: Sequence[int], others: Sequence[int]) -> Told:
    """Return the classes whose columns have a 1."""
    where = table.companion
    if others:
        raise ambiguous(where, f"has columns of 0 and 1, and others that are none: {table.titles(others)}")
    unsure = [number for number in flags if set(table.column(number)) & set(UNSURE)]
    if unsure:
        raise ambiguous(where, f"has -1 or nothing, neither 0 nor 1, in columns {table.titles(unsure)}")
    classes = tuple(table.header[number].strip() for number in flags)
    if len(set(classes)) < len(classes) or not all(classes):
        raise ambiguous(where, "has two columns of one title, or one without")
    words = tuple(
        tuple(name for name, number in zip(classes, flags, strict=True) if row[number].strip().lower() in YES)
        for row in table.rows.values()
    )
    return Told(where, words, classes)


def by_names(table: Table, number: int) -> Told:
    """Return the names in one column."""
    cells, title = table.column(number), table.header[number].strip().lower()
    marks = [mark for mark in BETWEEN if any(mark in cell for cell in cells)]
    if not marks and title in MANY and any("," in cell for cell in cells):
        marks = [","]
    spaced = any(mark in cell for cell in cells for mark in " ,")
    if len(marks) > 1:
        raise ambiguous(table.companion, f"has both {' and '.join(marks)} between names")
    if spaced and not marks and title not in (*ONE, *MANY):
        raise ambiguous(
            table.companion,
            f"has spaces or commas in column {table.titles([number])}, which may part or belong to names",
            "Call it `label` where an image has one name, and `labels` where these part names; or take |.",
        )
    if marks or title in MANY:
        words = tuple(tuple(split(cell, marks[0] if marks else None)) for cell in cells)
        return Told(table.companion, words)
    missing = next((name for name, cell in zip(table.rows, cells, strict=True) if not cell), None)
    if missing is not None:
        raise ImageSetError(
            f"{table.companion.path} has no label for {missing}",
            hint="Give each image one. Where some have none, call the column `labels`.",
        )
    return Told(table.companion, tuple((cell,) for cell in cells))


def split(cell: str, mark: str | None) -> list[str]:
    """Return the names in a cell, each once. mark: what parts them; None for spaces."""
    return list(dict.fromkeys(name.strip() for name in cell.split(mark) if name.strip()))


def may_be_names(cells: Sequence[str]) -> bool:
    """Tell whether a column of any title may hold classes: two or more, and one has two images.

    They are no values, nor parts of a set, as `train`.
    """
    names = [name.strip() for cell in cells for name in re.split("[|;]", cell)]
    values = all(map(NUMBER.fullmatch, cells)) and not all(map(str.isdecimal, cells))  # as of a regression
    return 1 < len(set(names)) < len(names) and not values and not all(map(SPLIT.fullmatch, names))


def check_all(table: Table, images: Sequence[str]) -> None:
    """Raise ImageSetError where images have no line."""
    missing = [name for name in images if name not in table.rows]
    if missing:
        raise ImageSetError(
            f"{table.companion.path} has no label for {len(missing)} of {len(images)} images,"
            f" such as {missing[0]}",
            hint="Give a label file that is complete, or remove it to use the images without labels.",
        )


def ambiguous(companion: Companion, what: str, hint: str = "") -> ImageSetError:
    """Return the error for a table that can be read in two ways."""
    return ImageSetError(
        f"{companion.path} {what}",
        hint=hint or "Leave the file names, and a column of 0 and 1 for each class, or one of names.",
    )


def is_about(companion: Companion, images: Sequence[str], folder: str) -> bool:
    """Tell whether a table beside a folder or an archive is about its images; say so where that is open.

    It is where it has the name of that, or gives paths with it: names as `0.png` are in other folders, too.
    """
    if PurePosixPath(companion.path).stem == folder:
        return True
    keys = keys_of(images)
    for mark in DELIMITERS:
        cells = [cell.strip().replace("\\", "/") for line in cells_of(companion, mark) for cell in line]
        named = [cell for cell in cells if base(cell) in keys]
        if named and all(PurePosixPath(cell).parent.name == folder for cell in named):
            return True
        if len({keys[base(cell)] for cell in named}) == len(images):
            note(
                f"no labels are taken from {companion.path}: it names these images, but is not in {folder};"
                f" move it there, or call it {folder}.csv"
            )
            return False
    return False
