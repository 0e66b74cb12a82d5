"""The embedded Swift package: its files, its syntax, and the results of Python that it is tested with."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.embedded import MANIFEST
from support.embedded_apps import as_for
from support.models import RESOLUTION, Models
from support.needs import package

from convnext_edge import embed
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.images.transform import normalize, preprocess


@pytest.fixture(scope="module")
def folder(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    engine = models.engine("onnxruntime", models.quantized("onnxruntime"))
    return embed(engine, lang="ios", output=tmp_path_factory.mktemp("embedded") / "package").directory


@pytest.fixture(scope="module")
def parser() -> Any:
    tree_sitter = package("tree_sitter", "it is of the extra `dev`")
    tree_sitter_swift = package("tree_sitter_swift", "it is of the extra `dev`")
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))


def faults(node: Any) -> Iterator[str]:
    """Where a syntax tree does not fit the grammar."""
    if node.type == "ERROR" or node.is_missing:
        yield f"line {node.start_point[0] + 1}: {node.text.decode()[:60]}"
    for child in node.children:
        yield from faults(child)


def test_the_sources_are_swift(folder: Path, parser: Any) -> None:
    sources = sorted(folder.rglob("*.swift"))
    assert len(sources) > 10
    for source in sources:
        assert list(faults(parser.parse(source.read_bytes()).root_node)) == [], source.name
    text = sources[0].read_bytes()
    assert list(faults(parser.parse(text + b"\nfunc broken( {").root_node))


def test_the_files_that_the_package_names_are_there(folder: Path) -> None:
    package = (folder / "Package.swift").read_text()
    targets = re.findall(r'arget\(\s*name: "(\w+)"(.*?)\n        \)', package, flags=re.DOTALL)
    assert {name for name, _ in targets} == {
        "ConvNeXtEdge",
        "ConvNeXtEdgeSample",
        "ConvNeXtEdgeTests",
        "classify",
    }
    for name, described in targets:
        place = folder / ("Tests" if name.endswith("Tests") else "Sources") / name
        assert list(place.glob("*.swift")), name
        for resource in re.findall(r'\.copy\("([^"]+)"\)', described):
            assert (place / resource).exists(), resource
    modules = {name for name, _ in targets} | {"OnnxRuntimeBindings"}
    apple = {
        "CoreGraphics",
        "CryptoKit",
        "Darwin",
        "Foundation",
        "ImageIO",
        "PackageDescription",
        "SwiftUI",
        "XCTest",
    }
    imported = {
        name
        for path in folder.rglob("*.swift")
        for name in re.findall(r"^(?:@testable )?import (\w+)", path.read_text(), flags=re.MULTILINE)
    }
    assert imported <= modules | apple


def test_the_application_is_an_xcode_project_whose_references_lead_to_something(folder: Path) -> None:
    """As the property list says it, which is of the format of NeXTSTEP."""
    place = folder / "App" / "ConvNeXtSample.xcodeproj" / "project.pbxproj"
    text = place.read_text()
    listed, root = text.split("objects = {")[1].split("\t};\n\trootObject")
    _, *parts = re.split(r"^\t\t([0-9A-F]{24}) = ", listed, flags=re.MULTILINE)
    objects = dict(zip(parts[::2], parts[1::2], strict=True))
    assert len(objects) == 20
    named = set(re.findall(r"\b[0-9A-F]{24}\b", "".join([*objects.values(), root])))
    assert named == objects.keys()
    kinds = {key: re.findall(r"isa = (\w+);", value) for key, value in objects.items()}
    assert all(len(kind) == 1 for kind in kinds.values())
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")
    sources = re.findall(r"path = (\w+\.swift);", text)
    assert [path.name for path in (folder / "App" / "Sources").iterdir()] == sources
    (product,) = re.findall(r"productName = (ConvNeXtEdge\w*);", text)
    assert f'.library(name: "{product}"' in (folder / "Package.swift").read_text()
    (package,) = re.findall(r"relativePath = (\S+);", text)
    assert (place.parents[1] / package / "Package.swift").resolve() == (folder / "Package.swift").resolve()


def test_its_tests_bring_what_python_makes_of_images(folder: Path) -> None:
    prepared = open_artifact(
        next((folder / "Sources" / "ConvNeXtEdge" / "model").glob("*.onnx"))
    ).description.preprocessing
    data = (folder / "Tests" / "ConvNeXtEdgeTests" / "squares.bin").read_bytes()
    sizes = []
    while data:
        width, height = struct.unpack_from("<II", data)
        image, square, data = np.split(
            np.frombuffer(data, np.uint8, offset=8), np.cumsum([3 * width * height, 3 * RESOLUTION**2])
        )
        expected = preprocess(Image.fromarray(image.reshape(height, width, 3)), prepared)
        np.testing.assert_array_equal(square, expected.ravel())
        data = data.tobytes()
        sizes.append((width, height))
    assert len(sizes) == 3


def test_the_sample_knows_what_python_answers_to_its_picture(folder: Path) -> None:
    sample = folder / "Sources" / "ConvNeXtEdgeSample"
    artifact = open_artifact(next((folder / "Sources" / "ConvNeXtEdge" / "model").glob("*.onnx")))
    prepared = artifact.description.preprocessing
    square = preprocess(Image.open(sample / "picture.png"), prepared).transpose(2, 0, 1)[None]
    with open_session(artifact, "onnxruntime", 1) as session:
        logits = session.run(normalize(square, prepared))[0]
    lines = (sample / "picture.txt").read_text().split()
    np.testing.assert_array_equal(np.array(lines, np.float32), logits)


def test_the_readme_is_filled_in_and_says_what_is_unverified(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "**Unverified**: nothing here was compiled or run" in text
    assert not re.search(r"\$\w", text)


@pytest.mark.parametrize("target", ["onnxruntime", "ort-mobile"])
def test_engines_of_every_kind_for_onnx_runtime_are_taken(
    models: Models, tmp_path: Path, target: str
) -> None:
    made = embed(models.engine(target, models.exported()), lang="ios", output=tmp_path / "package")
    manifest = (made.directory / "Sources" / "ConvNeXtEdge" / "model" / MANIFEST).read_text()
    assert "\nruntime onnxruntime\n" in manifest
    found = {
        path.relative_to(made.directory).as_posix() for path in made.directory.rglob("*") if path.is_file()
    }
    assert set(made.files) == found


def test_engines_of_other_runtimes_are_refused(models: Models, tmp_path: Path) -> None:
    engine = as_for("openvino", models.engine("onnxruntime", models.exported()), tmp_path)
    said = "is an engine for openvino, the library for iOS runs those for onnxruntime"
    with pytest.raises(UsageError, match=said):
        embed(engine, lang="ios", output=tmp_path / "package")
    assert not (tmp_path / "package").exists()
