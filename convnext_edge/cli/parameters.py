"""From the parameters of a command's function to the options and arguments of Click."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

import click
from click.shell_completion import CompletionItem

from convnext_edge.cli.values import Choice, Counts, GivenPath, Numbers, Size, is_number
from convnext_edge.commands.declaration import Argument, Option, Parameter
from convnext_edge.paths import AnyPath

Callback: TypeAlias = Callable[[click.Context, click.Parameter, Any], object]
Complete: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
PATHS = set(get_args(AnyPath))  # `str | PathLike[str]` is a path, `str` alone is text


def to_click(parameter: Parameter) -> click.Parameter:
    """Return the option or argument that stands for a parameter on the command line."""
    kind = without_none(parameter.annotation)
    if isinstance(parameter.meaning, Argument):
        every = takes_all(kind)
        # where it may be a name, `./tiny` is a path, which `Path` does not tell from `tiny`
        named = parameter.meaning.completions is not None
        return click.Argument(
            [parameter.name],
            type=GivenPath(path_type=str if named else Path),
            required=False,
            nargs=-1 if every else 1,
            metavar=f"[{parameter.typed}]..." if every else None,
            shell_complete=completion(parameter.meaning, kind),
        )
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
        multiple=takes_one_or_many(kind) or get_origin(kind) is Sequence,
        is_flag=True if kind is bool else None,
        callback=callback(kind, option),
        shell_complete=completion(option, kind),
        metavar=option.metavar,
        help=option.help,
    )


def completion(meaning: Option | Argument, kind: object) -> Complete | None:
    """Return what a shell calls to complete a value, or None where Click's type of the value does it.

    Files go before names: bash offers files only where no name begins so, whichever comes first, and zsh
    and fish offer both.
    """
    values = meaning.completions or tuple
    files = is_path(kind)
    if meaning.completions is None and not (files and meaning.metavar):
        return None

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        named = [CompletionItem(name) for name in values() if name.startswith(begun)]
        return [CompletionItem(begun, type="file"), *named] if files else named

    return complete


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


class Command(click.Command):
    """A command with options that take all the numbers that follow them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Make one argument of the numbers behind such an option, for Click takes a fixed count of them."""
        many = {flag for each in self.params if isinstance(each.type, Numbers) for flag in each.opts}
        return super().parse_args(ctx, join_numbers(args, many))


def join_numbers(arguments: Sequence[str], flags: Collection[str]) -> list[str]:
    """Join the numbers behind any of the flags with spaces, as `--mean 0.5 0.5` to `--mean`, `0.5 0.5`."""
    joined: list[str] = []
    follows = False  # whether the last one is such a flag, or its numbers so far
    for argument in arguments:
        if follows and is_number(argument) and joined[-1] not in flags:
            joined[-1] += f" {argument}"
        else:
            follows = argument.partition("=")[0] in flags or (follows and is_number(argument))
            joined.append(argument)
    return joined


def takes_all(kind: object) -> bool:
    """Return whether values of a kind may be sequences, so that an argument takes all that are left."""
    return any(get_origin(part) is Sequence for part in (kind, *get_args(kind)))


def is_path(kind: object) -> bool:
    """Return whether values of a kind are paths, or sequences of them."""
    return any(set(get_args(part)) >= PATHS for part in (kind, *get_args(kind)))


def takes_many(kind: object) -> bool:
    """Return whether values of a kind are tuples of any length."""
    return get_origin(kind) is tuple and Ellipsis in get_args(kind)


def takes_one_or_many(kind: object) -> bool:
    """Return whether values of a kind are integers, or tuples of any number of them."""
    return set(get_args(kind)) == {int, tuple[int, ...]}


def click_type(kind: object, option: Option) -> click.ParamType[Any]:
    """Return Click's type of one value. Raises TypeError for a type that has no option."""
    if option.choices or get_origin(kind) is Literal:
        return Choice(option.choices or get_args(kind))
    numbers = numbers_type(kind, option)
    if numbers is not None:
        return numbers
    if get_origin(kind) is Sequence:
        return click.STRING
    if is_path(kind):
        named_set = option.metavar is not None  # NAME|PATH: the name of an image set is no path
        return click.STRING if named_set else GivenPath(path_type=Path, file_okay=not option.folder)
    return number_type(kind, option)


def numbers_type(kind: object, option: Option) -> click.ParamType[Any] | None:
    """Return Click's type of several numbers in one value, or None for another kind."""
    if takes_many(kind):
        return Numbers()
    if takes_one_or_many(kind):
        return Counts(option.at_least)
    return Size() if any(get_origin(part) is tuple for part in get_args(kind)) else None


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
    if takes_one_or_many(kind):
        return one_or_many
    return check_finite if kind is float else None


def check_finite(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse `nan`, which ranges let through and nothing compares with, and infinity, which JSON lacks."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value


def one_or_many(
    _context: click.Context, _parameter: click.Parameter, values: tuple[tuple[int, ...], ...]
) -> int | tuple[int, ...]:
    """Join the numbers of an option that was given once or several times; of one number, return it alone."""
    numbers = tuple(number for value in values for number in value)
    return numbers[0] if len(numbers) == 1 else numbers


def split_names(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Take names separated by commas for several; an option that is given and names nothing is refused."""
    names = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    if values and not names:
        raise click.BadParameter(f"{values[0]!r} names nothing.\nGive a name, or leave the option out.")
    return names
