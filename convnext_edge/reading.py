"""JSON and TOML that anybody may have written: bounded before reading, checked by type and range after.

A shape is a type of msgspec (a TypedDict, a Struct, an annotated type). msgspec is imported in a third of
the time of pydantic, and `--help` imports this module. Keys that a shape does not name are passed over, as a
later version may add some; where an older version would misunderstand a file, its `format` is another number.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec

from convnext_edge.errors import ArtifactError, ConvNeXtEdgeError

MAX_BYTES = 2**24  # a sidecar has 24 for each calibration image; Python's objects take up to 30 times as much
MAX_TOML_BYTES = 2**18  # Python's own reader of TOML takes a second for 1 MiB of ordinary lines
MAX_DOTS = 200  # of one key in TOML, for which Python takes time as their square
MAX_DEPTH = 32  # of lists and objects in each other; what we write has 4
MAX_DIGITS = 40  # of a whole number
LONGEST_SHOWN = 60  # characters of a value in a message

# Texts without control characters, as they are written into manifests, pages and onto terminals.
LINE = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
SHA256 = r"\A[0-9a-f]{64}\Z"
VERSION = r"\A[\w.+!-]{1,100}\Z"
PHRASES = {
    LINE: "a text without control characters",
    SHA256: "the 64 digits of a SHA-256",
    VERSION: "a version, as 1.2.3",
}
Line: TypeAlias = Annotated[str, msgspec.Meta(pattern=LINE, max_length=10_000)]
Sha256: TypeAlias = Annotated[str, msgspec.Meta(pattern=SHA256)]
Version: TypeAlias = Annotated[str, msgspec.Meta(pattern=VERSION)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]

KINDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}

LIMITS = {" <= ": " of at most ", " >= ": " of at least ", " > ": " above ", " < ": " below "}


class DamagedError(ValueError):
    """Says what is wrong with a file, as the end of the sentence "X is damaged: ..."."""


def read_json(
    path: Path, shape: Any, *, hint: str, kind: type[ConvNeXtEdgeError] = ArtifactError
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
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
        _check_parts(value)
    except RecursionError as error:
        raise DamagedError(f"it is nested more than {MAX_DEPTH} deep") from error
    except DamagedError:
        raise
    except ValueError as error:
        raise DamagedError(f"it is not JSON: {error}") from error
    return value


def read_toml(path: Path, decode: Callable[[bytes], str] = bytes.decode) -> dict[str, Any]:
    """Return the table in a TOML file.

    decode: makes text of its bytes, or raises ValueError. Raises DamagedError where the file is too large or
    no TOML, OSError where it cannot be read.
    """
    try:
        text = decode(read_bytes(path, MAX_TOML_BYTES))
        if max(part.count(".") for part in re.split(r"[=,\n\[\]{}]", text)) > MAX_DOTS:
            raise DamagedError(f"it has a key with more than {MAX_DOTS} dots")
        table = tomllib.loads(text)
        _check_parts(table)
    except RecursionError as error:
        raise DamagedError(f"it is nested more than {MAX_DEPTH} deep") from error
    except DamagedError:
        raise
    except ValueError as error:
        raise DamagedError(f"it is not TOML: {str(error).split(';')[0]}") from error
    return table


def check(value: Any, shape: Any) -> None:
    """Raise DamagedError, with the key and its value, where `value` does not fit `shape`."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise DamagedError(_explain(str(error), value)) from error


def shown(value: object, write: Callable[[object], str] = repr) -> str:
    """Return a value as messages show it: shortened where it is long, written by `write`."""
    try:
        text = write(value)
    except ValueError:  # Python refuses to write numbers of more than 4,300 digits
        text = "a very large number"
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


def _explain(message: str, value: Any) -> str:
    """Return msgspec's message as a sentence of ours, with the value that is wrong in `value`."""
    what, _, place = message.partition(" - at `")
    path = place.rstrip("`").removeprefix("key` in `")
    name = re.sub(r"^\$\.?|\[\.\.\.\]", "", path)
    missing = re.search(r"missing required field `(.*)`", what)
    if missing:
        return f"{name or 'it'} has no {missing[1]}"
    if not what.startswith(("Expected ", "Invalid enum value")):  # a shape's own words
        return f"{name or 'it'} {what}"
    of_keys = place.startswith("key` in")
    subject = f"a {'key' if of_keys else 'value'} of {name}" if of_keys or "[...]" in path else name
    found = [] if of_keys else _find(path, value)
    is_what = f", is {shown(found[0], json.dumps)}" if found else ""
    return f"{subject or 'it'} must be {_wanted(what)}{is_what}"


def _wanted(what: str) -> str:
    """Return the end of "it must be ..." for a message of msgspec."""
    _, of_pattern, regex = what.partition("matching regex ")
    if of_pattern:
        return {repr(known): phrase for known, phrase in PHRASES.items()}.get(regex, "of another form")
    expected = re.match(r"Expected `([^`]*)`(.*?)(?:, got .*)?$", what)
    if expected is None:
        return "one of the known values"
    kinds = " or ".join(KINDS.get(kind, kind) for kind in expected[1].split(" | "))
    limit = expected[2].replace(" of length ", " with a length ")
    for sign, words in LIMITS.items():
        limit = limit.replace(sign, words)
    return kinds + limit


def _find(path: str, value: Any) -> list[Any]:
    """Return the value at a path as `$.mean[0]`, alone in a list, which is empty for a path that hides it."""
    if "[...]" in path:
        return []
    for name, number in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path):
        try:
            value = value[name] if name else value[int(number)]
        except (LookupError, TypeError):
            return []
    return [value]
