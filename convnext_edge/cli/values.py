"""Types of values that Click does not have: what an option takes, and what is said of anything else."""

from __future__ import annotations

import math
import os
import re
from typing import cast

import click

from convnext_edge.commands.text import fold
from convnext_edge.errors import nearest


class GivenPath(click.Path):
    """A path that is not empty: `Path("")` would be the folder at hand."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path; Click shows the failure as wrong usage."""
        if value == "":
            self.fail("it is empty: name a file or a folder.", param, ctx)
        return super().convert(value, param, ctx)


class Choice(click.Choice[str]):
    """One of a few words; of another one, the nearest are told."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        """Return what is shown of a word that is none of them, in lines of 80 columns."""
        known = ", ".join(self.choices)
        return f"{value!r} is none of its names.\n{fold(f'{nearest(str(value), self.choices)}All: {known}.')}"


class Numbers(click.ParamType[tuple[float, ...]]):
    """One number or more, with spaces or commas between them."""

    name = "numbers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers; Click shows the failure as wrong usage."""
        if not isinstance(value, str):
            return cast(tuple[float, ...], value)
        parts = value.replace(",", " ").split()
        if not parts or not all(is_number(part) for part in parts):
            self.fail(f"{value!r} is no list of numbers, as 0.5 0.5 0.5.", param, ctx)
        return tuple(float(part) for part in parts)


class Size(click.ParamType[int | tuple[int, int]]):
    """The edge of a square, or height and width with an `x` between them."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | tuple[int, int]:
        """Return the edge, or height and width; Click shows the failure as wrong usage."""
        found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", str(value))
        if found is None:
            self.fail(
                f"{value!r} is no size in pixels.\nGive the edge, as 224, or height x width, as 224x320.",
                param,
                ctx,
            )
        height, width = found.groups()
        return int(height) if width is None else (int(height), int(width))


class Counts(click.ParamType[tuple[int, ...]]):
    """One whole number or more, with commas between them."""

    name = "counts"

    def __init__(self, least: float | None) -> None:
        self.least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers; Click shows the failure as wrong usage."""
        if not isinstance(value, str):
            return cast(tuple[int, ...], (value,))
        parts = [part.strip() for part in value.split(",")]
        if not all(re.fullmatch(r"-?[0-9]{1,9}", part) for part in parts):
            self.fail(f"{value!r} is no list of whole numbers, as 1,2,4,8.", param, ctx)
        small = [part for part in parts if self.least is not None and int(part) < self.least]
        if small:
            self.fail(f"{small[0]} is less than {self.least}.", param, ctx)
        return tuple(map(int, parts))


def is_number(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
