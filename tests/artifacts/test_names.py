"""Names of files that come out of files are plain ones, in Python as in the embedded libraries."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.embedded_apps import NO_PLAIN_NAMES

from convnext_edge.artifacts.names import check_new, fault, printable, quoted
from convnext_edge.errors import UsageError
from convnext_edge.reading import shown


@pytest.mark.parametrize(
    "name", [*NO_PLAIN_NAMES, "new\nline", "\0", "\x7f", "c:", 100 * "é", "\udcff"], ids=ascii
)
def test_a_name_that_is_no_plain_one_is_at_fault(name: str) -> None:
    assert fault(name)


@pytest.mark.parametrize(
    "name",
    ["tiny.onnx", "...", "..a", ".hidden", "a b", "é", "模型.xml", 199 * "x", "ab:c", "$(rm)"],
    ids=ascii,
)
def test_usual_names_are_plain(name: str) -> None:
    assert fault(name) == ""


def test_a_bad_name_is_shown_on_one_line_with_what_to_do() -> None:
    with pytest.raises(UsageError) as caught:
        check_new("a\nb" + 300 * "x", UsageError, hint="Rename it.")
    message, hint = str(caught.value).split("\n")
    assert message.startswith(r"the name 'a\nbxxx")
    assert message.endswith("holds a control character")
    assert (len(message) < 150, hint) == (True, "Rename it.")


def test_a_name_that_is_not_utf8_is_shown_with_its_bytes() -> None:
    name = bytes(Path(b"caf\xe9".decode("utf-8", "surrogateescape"))).decode("utf-8", "surrogateescape")
    assert printable(name) == r"caf\xe9"
    assert shown(name, quoted) == r"'caf\xe9'"
    assert printable("café") == "café"
