"""The embedded Gradle project as files: what is in it, and which engines it takes."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.embedded import MANIFEST
from support.embedded_apps import ANDROID_ASSETS, as_for
from support.models import Models
from support.places import TESTS

from convnext_edge import embed
from convnext_edge.errors import UsageError

FIXTURES = TESTS / "fixtures" / "android"


@pytest.fixture(scope="module")
def folder(android_folder: Path) -> Path:
    return android_folder


def test_the_project_is_whole_and_its_resources_are_those_that_the_code_names(folder: Path) -> None:
    main = folder / "app" / "src" / "main"
    strings = {
        text.get("name") for text in ElementTree.parse(main / "res" / "values" / "strings.xml").iter("string")
    }
    code = "".join(path.read_text() for path in folder.rglob("*.kt"))
    manifest = (main / "AndroidManifest.xml").read_text()
    assert set(re.findall(r"R\.string\.(\w+)", code)) | set(re.findall(r"@string/(\w+)", manifest)) == strings
    assert ElementTree.fromstring(manifest).tag == "manifest"
    files = sorted((main / "res").rglob("*.xml"))
    told = "".join(path.read_text() for path in files) + manifest
    named = {f"{kind}/{name}" for kind, name in re.findall(r"@(drawable|mipmap|color)/(\w+)", told)}
    colors = ElementTree.parse(main / "res" / "values" / "colors.xml").iter("color")
    there = {f"color/{color.get('name')}" for color in colors}
    there |= {
        f"{path.parent.name.split('-')[0]}/{path.stem}" for path in files if path.parent.name != "values"
    }
    assert named == there
    stood_in_for = (FIXTURES / "stand_ins" / "R.kt").read_text()
    assert set(re.findall(r"const val (\w+)", stood_in_for)) == strings
    modules = re.findall(r'":(\w+)"', (folder / "settings.gradle.kts").read_text())
    assert modules == ["classifier", "app"]
    assert all((folder / module / "build.gradle.kts").is_file() for module in modules)


def test_the_readme_is_filled_in_and_says_what_is_unverified(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert 'assets.open("model/$it")' in text
    assert "**Unverified**: the Gradle build" in text
    assert not re.search(r"\$(stem|engine|build|ours)", text)


@pytest.mark.parametrize("target", ["onnxruntime", "ort-mobile"])
def test_engines_of_every_kind_for_onnx_runtime_are_taken(
    models: Models, tmp_path: Path, target: str
) -> None:
    model = models.exported()
    made = embed(models.engine(target, model), lang="android", output=tmp_path / "app")
    manifest = (made.directory / ANDROID_ASSETS / "model" / MANIFEST).read_text()
    assert "\nruntime onnxruntime\n" in manifest
    assert set(made.files) == {
        path.relative_to(made.directory).as_posix() for path in made.directory.rglob("*") if path.is_file()
    }


def test_engines_of_other_runtimes_are_refused(models: Models, tmp_path: Path) -> None:
    engine = as_for("openvino", models.engine("onnxruntime", models.exported()), tmp_path)
    refused: dict[str, dict[str, object]] = {
        "is an engine for openvino, the library for Android runs those for onnxruntime": {},
        "--runtime means nothing with --lang android": {"runtime": tmp_path},
    }
    for said, options in refused.items():
        with pytest.raises(UsageError, match=said):
            embed(engine, lang="android", output=tmp_path / "app", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "app").exists()
