"""The commands that made an artifact, from the checkpoint on."""

from __future__ import annotations

import shlex

import pytest
from support.models import CHECKPOINT, RESOLUTION, Models

from convnext_edge import build
from convnext_edge.artifacts.lineage import steps_to
from convnext_edge.artifacts.provenance import called, command_line
from convnext_edge.artifacts.store import open_artifact


def words_of(artifact: object) -> list[list[str]]:
    return [shlex.split(step.command)[1:] for step in steps_to(open_artifact(artifact))]  # type: ignore[arg-type]


def test_an_engine_tells_export_quantize_and_build(models: Models) -> None:
    int8 = models.quantized()
    made = words_of(models.engine("openvino", int8))
    assert [words[0] for words in made] == ["export", "quantize", "build"]
    place = ["--workspace", str(models.workspace)]
    assert made[0] == ["export", "--checkpoint", str(CHECKPOINT), "--resolution", str(RESOLUTION), *place]
    given = ["--calib", str(models.photos), "--samples", "16"]
    assert made[1][:2] == ["quantize", str(models.exported())]
    assert sorted(made[1][2:]) == sorted([*given, "--for", "x86-64", "--no-timing", *place])
    assert made[2][:2] == ["build", str(int8)]


def test_an_engine_in_fp32_goes_back_to_the_model_that_it_was_built_from(models: Models) -> None:
    exported = models.exported()
    engine = build(exported, target="onnxruntime", workspace=models.workspace).engine
    steps = steps_to(open_artifact(engine))
    assert [step.file for step in steps] == [
        exported.name,
        "timm_v1-onnxruntime.onnx",
        "timm_v1-onnxruntime.opt.onnx",
    ]
    assert len({step.command for step in steps[1:]}) == 1, "one `build` wrote both"


def test_a_command_that_runs_another_is_told_by_the_inner_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/convnext-edge", "compare", "--calib", "a b"])
    with called(lambda: "never"):
        assert command_line() == "convnext-edge compare --calib 'a b'", "as it was typed"
        with called(lambda: "convnext-edge quantize"):
            assert command_line() == "convnext-edge quantize"
    monkeypatch.setattr("sys.argv", ["/home/me/train.py"])
    assert command_line() == "train.py"
    with called(lambda: "convnext-edge export tiny"):
        assert command_line() == "convnext-edge export tiny"
