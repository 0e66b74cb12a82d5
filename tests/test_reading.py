"""Files that anybody may have written: JSON and TOML are bounded, strict, and checked by type and range."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from convnext_edge import reading
from convnext_edge.errors import UsageError
from convnext_edge.reading import (
    Count,
    DamagedError,
    Line,
    Share,
    Version,
    check,
    parse_json,
    read_json,
    read_toml,
)


class Small(reading.Shape):
    """One key of each kind."""

    name: Line
    count: Count
    share: Share
    kind: Literal["a", "b"]
    version: Version | None
    table: dict[str, list[int]]


GOOD = {"name": "x", "count": 3, "share": 1, "kind": "a", "version": None, "table": {"a": [1]}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("\ufeff{}", "is not JSON"),
        ('{"a": 1} {}', "is not JSON"),
        (b"\xff", "is not JSON: 'utf-8' codec"),
        ('{"a": 1, "b": 2, "a": 3}', 'has the key "a" twice'),
        ('{"a": NaN}', "holds NaN, which is no number of JSON"),
        ("-Infinity", "holds -Infinity"),
        ("1e999", "a number that is too large: 1e999"),
        ("1" * 5000, "a number of 5000 digits"),
        ("[" * 100_000, "nested more than 32 deep"),
        ("[" * 40 + "]" * 40, "nested more than 32 deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested more than 32 deep"),
        ('["\\ud800"]', "holds half of a character"),
        ('{"\\udfff": 1}', "holds half of a character"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_text_that_is_not_json_or_ambiguous_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(DamagedError, match=said):
        parse_json(text)


def test_json_is_read_as_usual() -> None:
    assert parse_json(b'{"a": [1, -2.5, null, true, "\xc3\xa9"]}') == {"a": [1, -2.5, None, True, "é"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": 8}, "name must be a string, is 8"),
        ({"name": None}, "name must be a string, is null"),
        ({"name": "a\nb"}, r'name must be a text without control characters, is "a\nb"'),
        ({"count": 1.5}, "count must be a whole number, is 1.5"),
        ({"count": True}, "count must be a whole number, is true"),
        ({"count": -1}, "count must be a whole number of at least 0, is -1"),
        ({"share": "1"}, 'share must be a number, is "1"'),
        ({"share": 1.5}, "share must be a number of at most 1.0, is 1.5"),
        ({"kind": "z"}, 'kind must be one of the known values, is "z"'),
        ({"version": "1; rm"}, 'version must be a version, as 1.2.3, is "1; rm"'),
        ({"version": []}, "version must be a string, is []"),
        ({"table": {"a": [1, "b"]}}, 'table.a[1] must be a whole number, is "b"'),
        ({"table": [1]}, "table must be an object, is [1]"),
        ({"name": "x" * 20_000}, "with a length of at most 10000"),
        ({"count": "9" * 200}, 'count must be a whole number, is "' + "9" * 58 + "…"),
    ],
    ids=str,
)
def test_a_value_of_a_wrong_type_or_range_is_said_with_its_key(changes: dict[str, object], said: str) -> None:
    with pytest.raises(DamagedError) as caught:
        check({**GOOD, **changes}, Small)
    assert said in str(caught.value)


def test_a_missing_key_is_named_and_an_unknown_one_passed_over() -> None:
    check({**GOOD, "of a later version": [{}]}, Small)
    with pytest.raises(DamagedError, match="it has no share"):
        check({key: value for key, value in GOOD.items() if key != "share"}, Small)
    with pytest.raises(DamagedError, match=r"it must be an object, is \[\]"):
        check([], Small)


def test_a_file_is_read_no_further_than_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    (tmp_path / "large.json").write_text("1" * 101)
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    said = {
        "large": "has more than 100 bytes",
        "pipe": "it is no file",
        "folder": "it is no file",
        "none": "cannot be read: No such file",
    }
    for name, why in said.items():
        with pytest.raises(UsageError, match=rf"{name}\.json .*{why}") as caught:
            read_json(tmp_path / f"{name}.json", Small, hint="Mend it.", kind=UsageError)
        assert caught.value.hint == "Mend it."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "it is not TOML"),
        ("a = " + "1" * 5000, "it is not TOML"),
        ("a = " + "[" * 2000 + "]" * 2000, "nested more than 32 deep"),
        ("a = " + "[" * 40 + "]" * 40, "nested more than 32 deep"),
        (".".join("a" * 30_000) + " = 1", "a key with more than 200 dots"),
        ("[" + ".".join("a" * 30_000) + "]", "a key with more than 200 dots"),
        ("#" * (reading.MAX_TOML_BYTES + 1), "has more than 262,144 bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_toml_that_would_take_long_is_refused_at_once(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "file.toml").write_text(text)
    with pytest.raises(DamagedError, match=said):
        read_toml(tmp_path / "file.toml")
