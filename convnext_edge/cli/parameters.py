"""From the parameters of a command's function to the options and arguments of Click."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

import click

from convnext_edge.commands.declaration import Argument, Option, Parameter
from convnext_edge.paths import AnyPath

Callback: TypeAlias = Callable[[click.Context, click.Parameter, Any], object]
PATHS = set(get_args(AnyPath))  # `str | PathLike[str]` is a path, `str` alone is text


def to_click(parameter: Parameter) -> click.Parameter:
    """Return the option or argument that stands for a parameter on the command line."""
    kind = without_none(parameter.annotation)
    if isinstance(parameter.meaning, Argument):
        return click.Argument([parameter.name], type=click.Path(path_type=Path), required=False)
    option = parameter.meaning
    hidden = option.hide_default or any(parameter.default is value for value in (None, False, ()))
    # a default of None would be one: Click would then miss no value
    default: dict[str, Any] = {} if parameter.required else {"default": parameter.default}
    return click.Option(
        [*declarations(parameter, kind, option), parameter.name],
        type=click_type(kind, option),
        required=parameter.required,
        **default,
        show_default=not (hidden or parameter.required),
        multiple=get_origin(kind) is Sequence,
        is_flag=True if kind is bool else None,
        callback=callback(kind, option),
        metavar=option.metavar,
        help=option.help,
    )


def declarations(parameter: Parameter, kind: object, option: Option) -> Sequence[str]:
    """Return the names of an option, such as `--max-drop`; a flag that is on has a `--no-` beside it."""
    name = parameter.name.replace("_", "-")
    negated = kind is bool and (parameter.default or option.hide_default)
    return option.flags or (f"--{name}/--no-{name}" if negated else f"--{name}",)


def former_names(parameters: Sequence[Parameter]) -> dict[str, str]:
    """Return today's name of each option by its name in an earlier version, both without dashes."""
    return {
        old: parameter.name.replace("_", "-")
        for parameter in parameters
        if isinstance(parameter.meaning, Option)
        for old in parameter.meaning.formerly
    }


def without_none(annotation: object) -> object:
    """Return the type of the values that may be given, as `int` of `int | None`."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    return Union[tuple(kinds)]  # noqa: UP007  made of a list


class GivenPath(click.Path):
    """A path that is not empty: `Path("")` would be the folder at hand."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path; Click shows the failure as wrong usage."""
        if value == "":
            self.fail("it is empty: name a file or a folder.", param, ctx)
        return super().convert(value, param, ctx)


def click_type(kind: object, option: Option) -> click.ParamType[Any]:
    """Return Click's type of one value. Raises TypeError for a type that has no option."""
    if option.choices or get_origin(kind) is Literal:
        return click.Choice(option.choices or get_args(kind))
    if get_origin(kind) is tuple:
        return click.Tuple([click_type(part, option) for part in get_args(kind)])
    if get_origin(kind) is Sequence:
        return click.STRING
    if set(get_args(kind)) >= PATHS:
        named_set = option.metavar is not None  # NAME|PATH: the name of an image set is no path
        return click.STRING if named_set else GivenPath(path_type=Path, file_okay=not option.folder)
    return number_type(kind, option)


def number_type(kind: object, option: Option) -> click.ParamType[Any]:
    """Return Click's type of a flag, a number within the option's bounds, or a text."""
    low, high = option.at_least, option.at_most
    bounded = low is not None or high is not None
    if kind is bool:
        return click.BOOL
    if kind is int:
        return click.IntRange(whole(low), whole(high)) if bounded else click.INT
    if kind is float:
        return click.FloatRange(low, high, min_open=option.above) if bounded else click.FLOAT
    if kind is str:
        return click.STRING
    raise TypeError(f"there is no option for values of type {kind}")


def whole(bound: float | None) -> int | None:
    """Return the bound of a whole number as one."""
    return None if bound is None else int(bound)


def callback(kind: object, option: Option) -> Callback | None:
    """Return what Click calls with a parsed value, or None."""
    if option.separated:
        return split_names
    return check_finite if kind is float else None


def check_finite(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse `nan`, which ranges let through and nothing compares with, and infinity, which JSON lacks."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value


def split_names(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Take names separated by commas for several."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())
