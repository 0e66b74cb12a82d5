"""Docstrings of the whole package, read without importing it: they are sentences and name what exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from support.documented import (
    MODULES,
    PACKAGE,
    Definition,
    Documented,
    Function,
    documented,
    everything,
    parse,
)

# Names in backticks that are not ours: those of libraries, of tools, and of values.
FOREIGN = {
    # in the sources that transform.py names
    *("build_transform", "center_crop", "Resize", "transforms_imagenet_eval"),
    *("ResizeKeepRatio", "center_crop_or_pad", "resolve_data_config", "ImageClassification"),
    *("image_transform", "load_image", "rt_info"),  # of OpenCLIP, transformers and OpenVINO
    *("ClassLabel", "datasets"),  # of Hugging Face
    *("jit_avx2_1x1_I8", "vpmaddubsw"),  # a kernel of OpenVINO, an instruction of x86
    "PerChannel",  # in the name of a class, by which torchao tells it
    *("nan", "STEM", "taskset"),  # a number, a part of a file's name, a tool of Linux
}
# Values that the package composes: precisions as w8a16, layouts as timm_v1.
COMPOSED = re.compile(r"w\d+a\d+(a\d+)?|(official|timm|torchvision|transformers)_v[12](_conv_mlp)?")

FRAGMENT_STARTS = ("Of", "As", "For", "From", "By", "With", "In", "On", "To")
FEWEST_WORDS = 3

# `name`, `name.other`, `name()`, `module.py`
IDENTIFIER = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\([^`]*\))?`")
# "name: what it is", or "name, other: ...", where a sentence begins.
FIELD_DESCRIPTION = re.compile(r"(?:^|\. )([a-z_]\w*(?:, [a-z_]\w*)*): ")
# A row of the table in a package's docstring: "module, module   what they hold".
TABLE_ROW = re.compile(r"^([a-z_]\w*(?:, [a-z_]\w*)*) {2,}\S", re.MULTILINE)


def paragraphs(docstring: str) -> list[str]:
    """The paragraphs of a docstring, each on one line."""
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", docstring)]


def report(failures: list[str]) -> None:
    assert not failures, "\n".join(["", *failures])


def test_every_module_public_class_and_public_function_has_a_docstring() -> None:
    report([str(item) for item in everything() if item.public and not item.docstring])


def test_the_first_line_of_a_public_docstring_begins_and_ends_as_a_sentence() -> None:
    failures = []
    for item, docstring in documented():
        first = docstring.splitlines()[0]
        if item.public and not (re.match(r"[A-Z`]", first) and first.endswith(".")):
            failures.append(f"{item}: {first}")
    report(failures)


def test_no_class_is_introduced_by_a_fragment() -> None:
    report(
        [
            f"{item}: {docstring.splitlines()[0]}"
            for item, docstring in documented()
            if isinstance(item.node, ast.ClassDef) and is_fragment(docstring)
        ]
    )


def is_fragment(docstring: str) -> bool:
    """Whether a docstring begins with a field's description or a preposition, or has hardly a word."""
    words = docstring.splitlines()[0].split()
    return (
        re.match(r"[a-z_]\w*(?:, [a-z_]\w*)*: ", docstring) is not None
        or words[0].rstrip(",") in FRAGMENT_STARTS
        or len(words) < FEWEST_WORDS
    )


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("layers: worst first.", True),
        ("low, high: of the interval.", True),
        ("Of one layer.", True),
        ("From values to pixels.", True),
        ("A variant.", True),
        ("A file of ours, with what its sidecar says of it.", False),
    ],
)
def test_a_fragment_is_recognized(docstring: str, *, expected: bool) -> None:
    assert is_fragment(docstring) is expected


def test_names_in_docstrings_exist_in_the_package() -> None:
    failures = []
    for item, docstring in documented():
        for name in IDENTIFIER.findall(docstring):
            failures.extend(
                f"{item}: `{name}` (there is no {part})" for part in parts_of(name) if unknown(part)
            )
    report(failures)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ImageSet", False),
        ("decoding.py", False),
        ("channels_last", False),
        ("w8a16", False),
        ("decodes.py", True),
        ("ImagesSet", True),
        ("w8a16_v1", True),
    ],
)
def test_a_name_that_nothing_defines_is_unknown(name: str, *, expected: bool) -> None:
    assert unknown(name) is expected


def unknown(name: str) -> bool:
    return not (name in known_names() or name in FOREIGN or COMPOSED.fullmatch(name))


def parts_of(name: str) -> list[str]:
    """What must exist of a name in backticks: a file, or each identifier of a dotted name."""
    return [name] if name.endswith((".py", ".toml", ".css", ".md")) else name.split(".")


@cache
def known_names() -> frozenset[str]:
    """Files, and all identifiers and words in strings of the package, docstrings not counted."""
    names: set[str] = {path.name for path in PACKAGE.rglob("*")} | {path.stem for path in PACKAGE.rglob("*")}
    for path in MODULES:
        tree = parse(path)
        ignored = {id(first_expression(node)) for node in ast.walk(tree) if isinstance(node, Definition)}
        for node in ast.walk(tree):
            names.update(() if id(node) in ignored else names_in(node))
    return frozenset(names)


def first_expression(node: Definition) -> ast.expr | None:
    """The expression that is a definition's docstring, if it has one."""
    first = node.body[0] if node.body else None
    return first.value if isinstance(first, ast.Expr) and ast.get_docstring(node) else None


def names_in(node: ast.AST) -> list[str]:
    """Identifiers that a node defines or uses, and the words of a string."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
            found = [name]
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            found = [name]
        case ast.alias(name=name, asname=other):
            found = [*name.split("."), other or ""]
        case ast.ImportFrom(module=str(name)):
            found = name.split(".")
        case ast.Constant(value=str(text)):
            found = re.findall(r"\w+", text)
        case _:
            found = []
    return found


def test_what_a_docstring_documents_is_a_parameter_or_a_field() -> None:
    failures = []
    for item, docstring in documented():
        if isinstance(item.node, ast.Module):
            continue
        for paragraph in paragraphs(docstring):
            for names in FIELD_DESCRIPTION.findall(paragraph):
                wrong = set(names.split(", ")) - names_to_document(item)
                failures.extend(f"{item}: {name}:" for name in sorted(wrong))
    report(failures)


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("width, height: in pixels. label: of the image.", ["width, height", "label"]),
        ("Return a label: 0-based. Raises for others.", []),
        ("`key: value` lines, as in: one, two.", []),
    ],
)
def test_a_field_is_described_where_a_sentence_begins(paragraph: str, expected: list[str]) -> None:
    assert FIELD_DESCRIPTION.findall(paragraph) == expected


def names_to_document(item: Documented) -> set[str]:
    """Parameters of a function; fields of a class, and the parameters of its `__init__`."""
    if isinstance(item.node, Function):
        return parameters(item.node)
    assert isinstance(item.node, ast.ClassDef)
    return fields(item.node)


def parameters(node: Function) -> set[str]:
    return {inner.arg for inner in ast.walk(node.args) if isinstance(inner, ast.arg)}


def fields(node: ast.ClassDef) -> set[str]:
    """What a class of ours and its bases of ours annotate, put on `self`, or take in `__init__`."""
    found: set[str] = set()
    for inner in ast.walk(node):
        match inner:
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.FunctionDef(name="__init__"):
                found |= parameters(inner)
    bases = (classes().get(getattr(base, "id", "")) for base in node.bases)
    return found.union(*(fields(base) for base in bases if base is not None))


@cache
def classes() -> dict[str, ast.ClassDef]:
    return {item.name: item.node for item in everything() if isinstance(item.node, ast.ClassDef)}


def test_the_modules_that_a_package_lists_exist() -> None:
    failures = []
    for item, docstring in documented():
        if isinstance(item.node, ast.Module) and item.path.name == "__init__.py":
            listed = [name for row in TABLE_ROW.findall(docstring) for name in row.split(", ")]
            failures.extend(f"{item}: {name}" for name in listed if not is_module(item.path.parent, name))
    report(failures)


def is_module(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
