"""embed --lang web: the files that it writes, where it takes the runtime from, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.embedded_apps import as_for
from support.embedded_web import FIXTURES, hasty_engine, page_folder
from support.needs import NPM, npm_package

from convnext_edge import embed
from convnext_edge.errors import UsageError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hasty_engine(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def folder(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_folder(engine, tmp_path_factory)


def test_the_files_are_listed_and_come_with_the_licence_of_the_runtime(folder: Path, engine: Path) -> None:
    made = embed(engine, lang="web", runtime=npm_package("onnxruntime-web"), output=folder.parent / "again")
    found = {
        path.relative_to(made.directory).as_posix() for path in made.directory.rglob("*") if path.is_file()
    }
    assert set(made.files) == found
    assert "Copyright (c) Microsoft Corporation" in (made.directory / "runtime" / "LICENSE").read_text()
    for name in made.files:
        assert (made.directory / name).read_bytes() == (folder / name).read_bytes(), name
    scripts = re.findall(r'<script src="([^"]+)"', (folder / "index.html").read_text())
    assert set(scripts) <= found


def test_the_runtime_is_taken_from_the_nearest_node_modules(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"npm install onnxruntime-web@1\.30\.0"):
        embed(engine, lang="web", output=tmp_path / "page")
    assert not (tmp_path / "page").exists()
    place = tmp_path / "node_modules" / "onnxruntime-web"
    stand_in(place)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    made = embed(engine, lang="web", output=tmp_path / "page").directory
    assert (made / "runtime" / "ort.wasm.min.js").read_text() == "ort.wasm.min.js"
    assert "ONNX Runtime Web 9.8.7" in (made / "README.md").read_text()


def test_a_page_is_opened_without_a_server_which_is_for_phones_alone(engine: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "package")
    made = embed(engine, lang="web", runtime=tmp_path / "package", output=tmp_path / "my page")
    assert made.page is not None
    assert made.page.is_file()
    told = re.sub(r" &&\n +", " && ", made.summary()).splitlines()
    assert f"open        {tmp_path}/my page/index.html" in told
    assert f"for phones  cd '{tmp_path}/my page' && python3 -m http.server" in told
    assert made.build_command == "python3 -m http.server"


def stand_in(place: Path, name: str = "onnxruntime-web") -> None:
    """What `embed` looks at of the npm package."""
    (place / "dist").mkdir(parents=True)
    (place / "package.json").write_text(json.dumps({"name": name, "version": "9.8.7"}))
    for file in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (place / "dist" / file).write_text(file)


def test_a_folder_that_is_not_the_runtime_is_refused(engine: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "other", "onnxruntime-node")
    stand_in(tmp_path / "old")
    (tmp_path / "old" / "dist" / "ort.wasm.min.js").unlink()
    for name, said in (
        ("none", "is no npm package"),
        ("other", "is the npm package onnxruntime-node"),
        ("old", r"onnxruntime-web 9\.8\.7 in .*old has no dist/ort\.wasm\.min\.js"),
    ):
        with pytest.raises(UsageError, match=said):
            embed(engine, lang="web", runtime=tmp_path / name, output=tmp_path / "page")


def test_what_no_browser_can_use_is_refused(engine: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "runtime")
    openvino = as_for("openvino", engine, tmp_path)
    with pytest.raises(UsageError, match="an engine for openvino, which runs in no browser"):
        embed(openvino, lang="web", runtime=tmp_path / "runtime", output=tmp_path / "page")
    with pytest.raises(UsageError, match="--runtime means nothing with --lang cpp"):
        embed(engine, lang="cpp", runtime=tmp_path / "runtime", output=tmp_path / "page")


def test_the_browsers_packages_are_those_that_were_tested() -> None:
    from convnext_edge.commands.embed.web import TESTED

    wanted = json.loads((FIXTURES.parent / "npm" / "package.json").read_text())["dependencies"]
    assert wanted["onnxruntime-web"] == TESTED
    if NPM.is_dir():
        found = json.loads((NPM / "onnxruntime-web" / "package.json").read_text())["version"]
        assert found == TESTED
