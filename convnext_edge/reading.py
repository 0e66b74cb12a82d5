"""JSON and TOML that anybody may have written: bounded before reading, checked by type and range after.

Keys that a shape does not name are passed over, as a later version may add some; where an older version would
misunderstand a file, its `format` is another number. pydantic compares with the shapes. msgspec is imported
faster, but its annotations crashed a third of our processes when they ended.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from convnext_edge.errors import ArtifactError, ConvNeXtEdgeError

MAX_BYTES = 2**24  # a sidecar has 24 for each calibration image; Python's objects take up to 30 times as much
MAX_TOML_BYTES = 2**18  # Python's own reader of TOML takes a second for 1 MiB of ordinary lines
MAX_DOTS = 200  # of one key in TOML, for which Python takes time as their square
MAX_DEPTH = 32  # of lists and objects in each other; what we write has 4
MAX_DIGITS = 40  # of a whole number
LONGEST_SHOWN = 60  # characters of a value in a message

# Texts without control characters, as they are written into manifests, pages and onto terminals.
LINE = r"\A[^\x00-\x1f\x7f-\x9f]*\z"
SHA256 = r"\A[0-9a-f]{64}\z"
VERSION = r"\A[\w.+!-]{1,100}\z"
Line: TypeAlias = Annotated[str, Field(pattern=LINE, max_length=10_000)]
Sha256: TypeAlias = Annotated[str, Field(pattern=SHA256)]
Version: TypeAlias = Annotated[str, Field(pattern=VERSION)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=2**53)]
Epsilon: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

PHRASES = {
    LINE: "a text without control characters",
    SHA256: "the 64 digits of a SHA-256",
    VERSION: "a version, as 1.2.3",
}
# What a value must be, by the type of pydantic's error.
KINDS = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "none_required": "null",
    "literal_error": "one of the known values",
}
# Likewise, for what has a limit, by the name of the limit in the error.
LIMITS = {
    "ge": "of at least",
    "gt": "above",
    "le": "of at most",
    "lt": "below",
    "min_length": "with a length of at least",
    "max_length": "with a length of at most",
}
HOLDERS: dict[type, str] = {
    str: "a text",
    list: "a list",
    dict: "an object",
    int: "a whole number",
    float: "a number",
}


class Shape(BaseModel):
    """The base of all shapes: a field for each key, of its exact type; what may be absent has a default."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


class DamagedError(ValueError):
    """Says what is wrong with a file, as the end of the sentence "X is damaged: ...".

    place: keys and indices that lead to the wrong value, where it is one.
    """

    def __init__(self, message: str, place: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.place = tuple(place)


def read_json(
    path: Path, shape: type[Shape], *, hint: str, kind: type[ConvNeXtEdgeError] = ArtifactError
) -> dict[str, Any]:
    """Return the JSON object in a file, which fits `shape`.

    hint, kind: of the error that is raised where the file cannot be read, has more than MAX_BYTES or does not
    fit.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
        value: dict[str, Any] = parse_json(content)
        check(value, shape)
    except OSError as error:
        raise kind(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    except DamagedError as error:
        raise kind(f"{path} is damaged: {error}", hint=hint) from error
    return value


def read_bytes(path: Path, most: int) -> bytes:
    """Return the bytes of a file; raise DamagedError for more than `most` or what is no file, or OSError."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DamagedError("it is no file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise DamagedError(f"it has more than {most:,} bytes")
    return content


def parse_json(content: bytes | str) -> Any:
    """Return the values of a JSON text; raise DamagedError for what is none, or is ambiguous."""
    with _damage_told("JSON"):
        text = content if isinstance(content, str) else content.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
        _check_parts(value)
    return value


def read_toml(path: Path, decode: Callable[[bytes], str] = bytes.decode) -> dict[str, Any]:
    """Return the table in a TOML file.

    decode: makes text of its bytes, or raises ValueError. Raises DamagedError where the file is too large or
    no TOML, OSError where it cannot be read.
    """
    with _damage_told("TOML"):
        text = decode(read_bytes(path, MAX_TOML_BYTES))
        if max(part.count(".") for part in re.split(r"[=,\n\[\]{}]", text)) > MAX_DOTS:
            raise DamagedError(f"it has a key with more than {MAX_DOTS} dots")
        table = tomllib.loads(text)
        _check_parts(table)
    return table


@contextmanager
def _damage_told(form: str) -> Iterator[None]:
    """Make what a parser of `form` raises a DamagedError."""
    try:
        yield
    except RecursionError as error:
        raise DamagedError(f"it is nested more than {MAX_DEPTH} deep") from error
    except DamagedError:
        raise
    except ValueError as error:
        # of a number with too many digits, Python says how a program would allow them
        why = str(error).partition("; use sys.")[0]
        raise DamagedError(f"it is not {form}: {why}") from error


def check(value: Any, shape: type[Shape]) -> None:
    """Raise DamagedError, with the key and its value, where `value` does not fit `shape`."""
    try:
        shape.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        found.sort(key=lambda each: each["type"] != "extra_forbidden")  # a typo comes first
        raise DamagedError(_explain(found, value), _find(found[0]["loc"], value)[0]) from error


def shown(value: Any, write: Callable[[Any], str] = repr) -> str:
    """Return a value as messages show it: shortened where it is long, written by `write`."""
    try:
        text = write(value)
    except ValueError:  # Python refuses to write numbers of more than 4,300 digits
        text = "a very large number"
    except TypeError:  # JSON has no dates, TOML has
        text = str(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


# --- strict JSON ---------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise DamagedError(f"it has the key {shown(twice, json.dumps)} twice")
    return made


def _no_number(text: str) -> float:
    raise DamagedError(f"it holds {text}, which is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DamagedError(f"it holds a number that is too large: {shown(text, str)}")
    return number


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise DamagedError(f"it holds a number of {len(text)} digits")
    return int(text)


def _check_parts(value: Any) -> None:
    """Raise DamagedError for lists and objects too deep in each other, and for text that no file can hold."""
    level = [value]
    for _ in range(MAX_DEPTH):
        for part in level:
            if isinstance(part, str):
                _check_text(part)
        level = [inner for part in level for inner in _inside(part)]
        if not level:
            return
    raise DamagedError(f"it is nested more than {MAX_DEPTH} deep")


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DamagedError(f"it holds half of a character: {text[:LONGEST_SHOWN]!a}") from error


def _inside(part: Any) -> Iterable[Any]:
    if isinstance(part, dict):
        return (item for pair in part.items() for item in pair)
    return part if isinstance(part, list) else ()


# --- messages ------------------------------------------------------------------------------------


def _explain(errors: Sequence[ErrorDetails], value: Any) -> str:
    """Return pydantic's first error as a sentence of ours, with the value that is wrong in `value`."""
    first = errors[0]
    path, found = _find(first["loc"], value)
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    subject = shown(name, str) if name else "it"
    if first["type"] == "missing":
        return f"{subject} has no {first['loc'][-1]}"
    if first["type"] == "value_error":  # a shape's own words
        return f"{subject} {first['ctx']['error']}" if name else str(first["ctx"]["error"])
    if first["type"] == "extra_forbidden":
        return f"{subject} is unknown"
    if first["loc"][-1:] == ("[key]",):
        key = path[-1]
        return f"a key of {_parent(path)} must be {_wanted(first, key)}, is {shown(key, json.dumps)}"
    # of a union, each kind has an error of its own
    wanted = dict.fromkeys(_wanted(error, found) for error in errors if _find(error["loc"], value)[0] == path)
    return f"{subject} must be {' or '.join(wanted)}, is {shown(found, json.dumps)}"


def _parent(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path[:-1])) or "it"


def _wanted(error: ErrorDetails, found: Any) -> str:
    """Return the end of "it must be ..."."""
    limits: dict[str, Any] = error.get("ctx", {})
    if "pattern" in limits:
        return PHRASES.get(limits["pattern"], "a text of another form")
    for name, words in LIMITS.items():
        if name in limits:
            of = found if isinstance(found, str | list | dict) else limits[name]
            kind = next(text for kind, text in HOLDERS.items() if isinstance(of, kind))
            return f"{kind} {words} {limits[name]}"
    return KINDS.get(error["type"], "of another kind")


def _find(place: Sequence[Any], value: Any) -> tuple[list[str | int], Any]:
    """Return as much of a place as leads to something in `value`, and what is there.

    The rest names a kind of a union, or a key that is missing.
    """
    path: list[str | int] = []
    for part in place:
        inside = isinstance(value, dict) and part in value
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
            path.append(part)
    return path, value
