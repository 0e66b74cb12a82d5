"""Nothing in the package is too long to be read at once."""

from __future__ import annotations

import ast
from statistics import median

from support.places import ROOT

FILES = sorted((ROOT / "convnext_edge").rglob("*.py"))
LONGEST_FILE = 300  # lines
LONGEST_BODY = 40  # lines of a function without its signature and docstring


def bodies() -> dict[str, int]:
    """Lines of each function's body."""
    found = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                found[f"{path.relative_to(ROOT)}:{node.name}:{node.lineno}"] = lines
    return found


def test_no_file_is_over_its_limit() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_body_of_a_function_is_over_its_limit() -> None:
    lengths = bodies()
    assert {name: length for name, length in lengths.items() if length > LONGEST_BODY} == {}
    assert median(lengths.values()) <= 10
