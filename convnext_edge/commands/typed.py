"""The command line that does the same as a call of a command's function in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Union, get_args, get_origin

from convnext_edge.commands.text import command_line

if TYPE_CHECKING:
    from convnext_edge.commands.declaration import Parameter


def typed(name: str, parameters: Sequence[Parameter], given: Mapping[str, object]) -> str:
    """Return a command as a person types it, with those values that are not the defaults.

    name: of the command. given: the arguments of the call by parameter.
    """
    words: list[object] = [name]
    for parameter in parameters:
        value = given.get(parameter.name, parameter.default)
        if parameter.name in given and value != parameter.default:
            words += _words(parameter, value)
    return command_line(*words)


def _words(parameter: Parameter, value: object) -> Iterator[object]:
    flag, negated = parameter.typed, f"--no-{parameter.name.replace('_', '-')}"
    if isinstance(value, bool):
        yield flag if value else negated
        return
    kinds = _kinds(parameter.annotation)
    several = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    if several is None:
        found = [value]
    elif Sequence in map(get_origin, kinds) and not getattr(parameter.meaning, "separated", False):
        found = several
    else:  # height and width, or numbers or names of one value
        is_size = any(get_args(kind) == (int, int) for kind in kinds)
        found = [("x" if is_size else ",").join(map(str, several))]
    for one in found:
        yield from ([flag] if flag.startswith("-") else [])
        yield Path(one) if isinstance(one, PathLike) else one


def _kinds(annotation: object) -> tuple[object, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
