"""All that the package defines, with its docstrings, read without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.places import ROOT

PACKAGE = ROOT / "convnext_edge"
MODULES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True)
class Documented:
    """A module, class or function of the package, with its place in the source."""

    node: Definition
    path: Path
    line: int
    parents: tuple[str, ...]  # names of the classes and functions around it

    @property
    def docstring(self) -> str | None:
        return ast.get_docstring(self.node)

    @property
    def name(self) -> str:
        return getattr(self.node, "name", "")

    @property
    def public(self) -> bool:
        """Whether it is a module, or a class or function of a module's own level that others may use."""
        return not self.parents and not self.name.startswith("_")

    def __str__(self) -> str:
        where = f"{self.path.relative_to(PACKAGE.parent)}:{self.line}"
        return " ".join([where, ".".join((*self.parents, self.name))]).strip()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def everything() -> tuple[Documented, ...]:
    """All modules, classes and functions of the package, methods and private ones included."""
    found: list[Documented] = []
    for path in MODULES:
        found.append(Documented(parse(path), path, 1, ()))
        found.extend(definitions(parse(path), path, ()))
    return tuple(found)


def definitions(node: ast.AST, path: Path, parents: tuple[str, ...]) -> Iterator[Documented]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | Function):
            if not is_overload(child):
                yield Documented(child, path, child.lineno, parents)
            yield from definitions(child, path, (*parents, child.name))
        else:
            yield from definitions(child, path, parents)


def is_overload(node: Definition) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(decorator, ast.Name) and decorator.id == "overload" for decorator in decorators)


def documented() -> list[tuple[Documented, str]]:
    """Everything that has a docstring, and the docstring."""
    return [(item, item.docstring) for item in everything() if item.docstring]
