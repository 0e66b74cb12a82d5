"""How `predict` prints itself: a table of the pictures within 80 columns, then what ran."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from rich.cells import cell_len

from convnext_edge.commands.text import WIDTH, lines, printable

if TYPE_CHECKING:
    from convnext_edge.commands.predict.result import Predict, Prediction, Top

WIDEST = 36  # columns of a name that others beside it must leave to it
NARROWEST = 16  # columns of a name
FEW = 4  # pictures: as many have a line for each class
GAP = "  "
ELLIPSIS = "…"


def table_of(result: Predict) -> str:
    """Return a line for each picture, or for each of its classes, and what ran below."""
    rows = result.predictions
    if result.task in ("classify", "multilabel"):
        told = _classes(rows, result.threshold)
    elif result.task == "segment":
        areas = [[f"{_percent(a.share)}  {a.label}" for a in row.classes] for row in rows]
        told = _beside(rows, _packed(areas, _room(rows), count_rest=True))
    elif result.task == "detect":
        objects = [[f"{_percent(o.score)}  {o.label}" for o in row.objects] or ["nothing"] for row in rows]
        told = _beside(rows, _packed(objects, _room(rows), count_rest=True))
    elif result.task == "features":
        told = _beside(rows, [GAP.join(map(_shape, row.shapes.items())) for row in rows])
    elif result.task == "regress":
        numbers = [[f"{value:.5g}" for value in row.values] for row in rows]
        told = _beside(rows, _packed(numbers, _room(rows), count_rest=True))
    else:
        told = _beside(rows, _packed([_embedding(row) for row in rows], WIDTH, count_rest=False))
        if result.cosines is not None:
            told += ["", *_cosines(rows, result.cosines)]
    return "\n".join([*told, "", _footer(result)])


def shorten(text: str, width: int, *, middle: bool = False) -> str:
    """Return a text that can be printed in so many columns, with an ellipsis at its end or in its middle."""
    safe = printable(text)
    if cell_len(safe) <= width:
        return safe
    tail = width // 2 if middle else 0
    return _head(safe, width - 1 - tail) + ELLIPSIS + (_head(safe[::-1], tail)[::-1])


def _head(text: str, width: int) -> str:
    """Return as much of the beginning of a text as fits; letters of Chinese take two columns."""
    columns = accumulate(map(cell_len, text))
    return text[: sum(used <= width for used in columns)]


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _percent(probability: float) -> str:
    """Return a probability in percent, in 6 columns."""
    shown = f"{probability:.1%}"
    return f"{'<0.1%' if shown == '0.0%' and probability > 0 else shown:>6}"


def _class(top: Top) -> str:
    return f"{_percent(top.probability)}  {top.label}"


def _classes(rows: Sequence[Prediction], threshold: float | None) -> list[str]:
    """Return the classes of each picture: of a few below its name, of more beside it.

    threshold: of multilabel, that a probability must exceed; None for other tasks.
    """
    none = "no label" if threshold is None else f"no label over {threshold:.1%}"
    cells = [[_class(top) for top in row.top] or [none] for row in rows]
    if len(rows) > FEW:
        return _beside(rows, _packed(cells, _room(rows), count_rest=threshold is not None))
    told: list[str] = []
    for row, classes in zip(rows, cells, strict=True):
        told += [shorten(row.picture, WIDTH, middle=True)]
        told += [GAP + shorten(text, WIDTH - len(GAP)) for text in classes]
    return told


def _packed(cells: Sequence[Sequence[str]], room: int, *, count_rest: bool) -> list[str]:
    """Return a line for each row of cells, in columns, as many as find room.

    count_rest: whether a row ends with the number of its cells that have found none.
    """
    packed, used = [""] * len(cells), 0
    for rank in range(max(map(len, cells))):
        column = [shorten(row[rank], room) if rank < len(row) else "" for row in cells]
        width = max(map(cell_len, column)) + len(GAP)
        full = used + width - len(GAP) + (len(GAP) + len("+999") if count_rest else 0) > room
        if rank and full:
            rest = [len(row) - rank for row in cells]
            return [
                line + (f"+{r}" if count_rest and r > 0 else "") for line, r in zip(packed, rest, strict=True)
            ]
        packed = [line + _pad(text, width) for line, text in zip(packed, column, strict=True)]
        used += width
    return packed


def _beside(rows: Sequence[Prediction], cells: Sequence[str]) -> list[str]:
    """Return the name of each picture with a text beside it; names give way to texts, down to NARROWEST."""
    longest = max(cell_len(cell.rstrip()) for cell in cells)
    width = min(_longest_name(rows), max(NARROWEST, WIDTH - len(GAP) - longest))
    names = [_pad(shorten(row.picture, width, middle=True), width) for row in rows]
    room = WIDTH - len(GAP) - width
    return [f"{name}{GAP}{shorten(cell.rstrip(), room)}" for name, cell in zip(names, cells, strict=True)]


def _room(rows: Sequence[Prediction]) -> int:
    """Return the columns beside names of usual lengths."""
    return WIDTH - len(GAP) - min(WIDEST, _longest_name(rows))


def _longest_name(rows: Sequence[Prediction]) -> int:
    return max(cell_len(printable(row.picture)) for row in rows)


def _shape(of_map: tuple[str, tuple[int, ...]]) -> str:
    name, shape = of_map
    return f"{name} {'x'.join(map(str, shape))}"


def _embedding(row: Prediction) -> list[str]:
    numbers = [f"{value:.3g}" for value in row.first]
    return [f"norm {row.norm:.4g}", *numbers, ELLIPSIS, *map(_shape, row.shapes.items())]


def _cosines(rows: Sequence[Prediction], cosines: Sequence[Sequence[float]]) -> list[str]:
    """Return the cosine of each embedding with each, with the numbers of the pictures as header."""
    numbers = [str(number + 1) for number in range(len(rows))]
    column = 6  # as of -0.123
    room = min(WIDEST, WIDTH - len(rows) * (column + 1) - 4)
    names = [shorten(row.picture, room, middle=True) for row in rows]
    width = max([len("cosine"), *(cell_len(name) + 3 for name in names)])
    header = _pad("cosine", width) + "".join(f"{number:>{column + 1}}" for number in numbers)
    told = [header]
    for number, name, values in zip(numbers, names, cosines, strict=True):
        told.append(_pad(f"{number:>2} {name}", width) + "".join(f"{v:>{column + 1}.3f}" for v in values))
    return told


def _maps(result: Predict) -> list[tuple[str, object]]:
    """Return where label maps are, or what writes them."""
    if result.task not in ("segment", "detect"):
        return []
    drawn = [path for path in (result.predictions[0].label_map, result.predictions[0].overlay) if path]
    if not drawn:
        return [("maps", "--maps DIR writes them")]
    return [("maps", f"{drawn[0].parent}, as {' and '.join(path.name for path in drawn)}")]


def _footer(result: Predict) -> str:
    read, seconds = len(result.predictions), result.seconds
    of_all = f" of {result.pictures}" if result.failed else ""
    failed = f"; {len(result.failed)} could NOT be read" if result.failed else ""
    where = f"{result.artifact} on {result.target}" + (f" ({result.label})" if result.label else "")
    saved = _maps(result)
    if result.saved is not None:
        saved = [*saved, ("saved", f"{result.saved}, in this order")]
    elif result.task in ("embed", "features"):
        saved = [("outputs", "--save FILE.safetensors keeps them")]
    return lines(("model", where), ("pictures", f"{read}{of_all} in {seconds:.1f} s{failed}"), *saved)
