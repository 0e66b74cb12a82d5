"""Which engine `embed` takes where none is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.small_artifacts import DESCRIPTION

from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.embed.command import RUNTIMES, Language, find_engine
from convnext_edge.commands.embed.cpp import FOUND
from convnext_edge.errors import ArtifactError


def engine(folder: Path, name: str, target: str, runtime: str) -> None:
    def files(scratch: Path) -> dict[str, str]:
        scratch.write_bytes(b"engine")
        return {"runtime": runtime, "version": "1"}

    write_artifact(folder / name, replace(DESCRIPTION, kind="engine", target=target, verdict=None), files)


@pytest.mark.parametrize("lang", RUNTIMES)
def test_the_newest_engine_is_taken_that_the_language_runs(lang: Language, tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    engine(tmp_path, "mine.mlmodel", "coreml", "coreml")
    with pytest.raises(ArtifactError, match=f"there is no engine for --lang {lang} in"):
        find_engine(None, space, lang)
    engine(tmp_path, "mine.opt.onnx", "onnxruntime", "onnxruntime")
    engine(tmp_path, "mine.xml", "openvino", "openvino")
    newest = "mine.xml" if "openvino" in RUNTIMES[lang] else "mine.opt.onnx"
    assert find_engine(None, space, lang).path.name == newest


def test_browsers_take_no_engine_of_telephones(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    engine(tmp_path, "mine.ort", "ort-mobile", "onnxruntime")
    assert find_engine(None, space, "ios").path.name == "mine.ort"
    with pytest.raises(ArtifactError, match="there is no engine for --lang web in"):
        find_engine(None, space, "web")


def test_the_library_for_cpp_has_a_guide_for_each_runtime() -> None:
    assert set(RUNTIMES["cpp"]) == {*FOUND, "executorch"}
