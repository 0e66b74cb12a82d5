"""Values of wrong types and ranges, put in the place of each value of a JSON file in turn."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

WRONG: list[Any] = [None, True, 0, -1.5, 10**39, 1e300, "", "a\nb", "../../evil", [], [[]], {}, {"a": {}}]

Place = tuple[str | int, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield where the values of a JSON file are: keys and numbers, from the outermost inwards."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*place, key)
        yield from places(inner, (*place, key))


def exchanged(value: Any, place: Place, new: Any) -> Any:
    """Return a copy of `value` with `new` in one place."""
    made = copy.deepcopy(value)
    holder = made
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = new
    return made
