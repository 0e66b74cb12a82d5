"""Checking what a caller gives to a function of the library, by its annotations and options.

The command line has Click for this; here it is Python's callers who may be wrong. The libraries for it take a
`str` for a sequence of strings, and know nothing of the bounds of an option.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from os import PathLike
from types import NoneType, UnionType
from typing import Annotated, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from convnext_edge.errors import UsageError, nearest
from convnext_edge.paths import AnyPath
from convnext_edge.reading import shown

P = ParamSpec("P")
R = TypeVar("R")

WORDS: dict[object, str] = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a string",
    NoneType: "None",
}
KINDS = {bool: "a bool", int: "an integer", float: "a float", str: "a string", list: "a list", dict: "a dict"}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function raise TypeError, with the argument's name, for a value that is not as annotated.

    Numbers of NumPy become Python's. The function raises UsageError for a number out of the option's bounds,
    and for a word that is none of the choices.
    """
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)

    @functools.wraps(function)
    def check(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            given = signature.bind(*arguments, **options)
        except TypeError:
            return function(*arguments, **options)  # Python says best what is missing or too many
        for name, value in given.arguments.items():
            given.arguments[name] = check_value(value, hints[name], name, function.__name__)
        return function(*given.args, **given.kwargs)

    return check


def check_value(value: object, hint: object, name: str, function: str) -> object:
    """Return a value as its annotation has it; raise TypeError or UsageError where it is none of that."""
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    found = fit(value, kind)
    if found is MISFIT:
        raise TypeError(
            f"{function}: {name} must be {in_words(kind)}, is {described(value)}{remedy(value, kind)}"
        )
    choices = get_args(kind_of(kind)) if get_origin(kind_of(kind)) is Literal else ()
    if found is not None and choices and found not in choices:
        known = ", ".join(map(repr, choices))
        raise UsageError(
            f"{function}: {name} {found!r} is none of its choices",
            hint=f"{nearest(str(found), choices)}Take one of {known}.",
        )
    for option in extras:
        check_bounds(found, option, name)
    return found


def check_bounds(value: object, option: object, name: str) -> None:
    """Raise UsageError for a number that is not finite, or out of the bounds of an option."""
    if isinstance(value, tuple):
        for each in value:
            check_bounds(each, option, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    flag = f"--{name.replace('_', '-')}"
    low, high, above = (getattr(option, key, None) for key in ("at_least", "at_most", "above"))
    if not math.isfinite(value):
        raise UsageError(f"{flag} {value} is not a finite number", hint="Give a finite number.")
    if low is not None and (value < low or (above and value == low)):
        bound, wanted = ("not above", "above") if above else ("less than", "from")
        raise UsageError(
            f"{flag} {value} is {bound} {as_text(low)}", hint=f"Give a number {wanted} {as_text(low)}."
        )
    if high is not None and value > high:
        raise UsageError(
            f"{flag} {value} is more than {as_text(high)}", hint=f"Give at most {as_text(high)}."
        )


def as_text(bound: float) -> str:
    """Return a bound with all its digits."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


MISFIT = object()


def fit(value: object, kind: object) -> object:
    """Return a value as one of a kind, or MISFIT."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return next((found for part in parts if (found := fit(value, part)) is not MISFIT), MISFIT)
    if origin is Literal:
        return value if isinstance(value, str) else MISFIT
    if origin in (Sequence, tuple):
        return fit_each(value, parts, origin)
    if origin is PathLike:
        return value if isinstance(value, PathLike) else MISFIT
    return fit_plain(value, kind)


def fit_plain(value: object, kind: object) -> object:
    """Return a value as a bool, number, string or None, or MISFIT."""
    if kind is bool:
        return bool(value) if type(value).__name__ in ("bool", "bool_") else MISFIT
    if kind in (int, float):
        wanted = Integral if kind is int else Real
        return kind(value) if isinstance(value, wanted) and not isinstance(value, bool) else MISFIT  # type: ignore
    return value if isinstance(kind, type) and isinstance(value, kind) else MISFIT


def fit_each(value: object, parts: tuple[object, ...], origin: object) -> object:
    """Return a tuple of values that each are of their kind, or MISFIT."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return MISFIT
    many = origin is not tuple or Ellipsis in parts
    kinds = parts[:1] * len(value) if many else parts
    found = [fit(item, part) for item, part in zip(value, kinds, strict=False)]
    # `in` would compare arrays
    wrong = any(item is MISFIT for item in found) or len(kinds) != len(value)
    return MISFIT if wrong else tuple(found)


def kind_of(kind: object) -> object:
    """Return the kind of the values that may be given, as `int` of `int | None`."""
    parts = [part for part in get_args(kind) if part is not NoneType]
    return parts[0] if get_origin(kind) in (Union, UnionType) and len(parts) == 1 else kind


def in_words(kind: object) -> str:
    """Return what a value must be."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        is_path = PathLike in [get_origin(part) for part in parts]
        dropped = (NoneType, str) if is_path else (NoneType,)
        return " or ".join(in_words(part) for part in parts if part not in dropped)
    if origin is PathLike:
        return "a path"
    if origin is Literal:
        return "one of " + ", ".join(map(repr, parts))
    if origin is Sequence:
        kinds = {str: "strings", AnyPath: "paths or strings"}
        return f"a list of {kinds.get(parts[0], 'these')}"
    if origin is tuple:
        kind = "integers" if parts[0] is int else "numbers"
        return f"a tuple of {kind}" if Ellipsis in parts else f"{len(parts)} {kind}"
    return WORDS.get(kind) or (getattr(kind, "in_words", "") or str(kind))


def described(value: object) -> str:
    """Return a value with its type."""
    return f"{shown(value)} ({KINDS.get(type(value), type(value).__name__)})"


def remedy(value: object, kind: object) -> str:
    """Return what to write instead, where a string stands for a list of it."""
    single = isinstance(value, str) and get_origin(kind_of(kind)) is Sequence
    return f"; write [{value!r}]" if single else ""
