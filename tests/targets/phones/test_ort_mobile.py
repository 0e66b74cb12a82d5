"""ONNX Runtime's format for phones: its answers, the operators that it needs, and what the check said."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.tools.mobile_helpers.usability_checker import analyze_model
from onnxruntime.tools.reduced_build_config_parser import parse_config
from support.answers import answers_of_onnxruntime, sqnr
from support.models import RESOLUTION, Models

from convnext_edge import build, quantize
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import ArtifactError, TargetError
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.targets.kernels import kernels_of
from convnext_edge.targets.phones.ort_mobile import CONFIG, Usability, advice
from convnext_edge.targets.registry import find_target

TARGET = "ort-mobile"


@pytest.fixture
def engine(models: Models) -> Path:
    return models.engine(TARGET, models.quantized(TARGET))


def config(engine: Path) -> Path:
    return engine.with_suffix(f".{CONFIG}")


def test_the_engine_has_the_answers_of_onnx_runtime_on_the_graph(models: Models, engine: Path) -> None:
    images = example_input((3, RESOLUTION, RESOLUTION), "float32", batch=3).numpy()
    graph = onnxruntime.InferenceSession(models.quantized(TARGET), providers=["CPUExecutionProvider"])
    expected = graph.run(None, {graph.get_inputs()[0].name: images})[0]
    with find_target(TARGET).open_session(open_artifact(engine), threads=1) as session:
        assert np.array_equal(session.run(images), expected)


def test_phones_get_the_form_for_arm64_with_the_answers_of_that_for_x86(
    models: Models, tmp_path: Path
) -> None:
    options = {"calib": str(models.photos), "samples": 16, "timing": False, "workspace": tmp_path}
    for_phones = quantize(models.exported(), target=TARGET, **options).artifact  # type: ignore[arg-type]
    for_x86 = models.quantized(TARGET, machine="x86-64")
    described = [open_artifact(path).description for path in (for_phones, for_x86)]
    assert [(found.form, found.machine) for found in described] == [
        ("tiled", "aarch64"),
        ("linear", "x86-64"),
    ]
    kernels = kernels_of(described[0], find_target(TARGET))
    assert (kernels.machine, kernels.int8) == ("aarch64", True)
    images = example_input((3, RESOLUTION, RESOLUTION), "float32", batch=8).numpy()
    assert sqnr(*(answers_of_onnxruntime(path, images) for path in (for_x86, for_phones))) > 40


def test_the_required_operators_are_those_of_the_fused_graph(models: Models, engine: Path) -> None:
    required, types = parse_config(str(config(engine)), enable_type_reduction=True)
    fused = onnx.load(models.engine("onnxruntime", models.quantized(TARGET))).graph
    expected = Counter(node.op_type for node in fused.node)
    assert {name for opsets in required.values() for names in opsets.values() for name in names} == set(
        expected
    )
    assert expected["MatMulIntegerToFloat"]
    assert types is not None  # a build may leave out types as well as operators


def test_the_configuration_names_its_engine_and_no_folder(engine: Path) -> None:
    comments = [line for line in config(engine).read_text().splitlines() if line.startswith("#")]
    assert comments == [f"# required by {engine.name}"]


def test_the_sidecar_answers_for_the_configuration_too(engine: Path, tmp_path: Path) -> None:
    for file in engine.parent.glob(f"{engine.stem}.*"):
        shutil.copy2(file, tmp_path)
    copied = tmp_path / engine.name
    assert open_artifact(copied).files.keys() == {engine.name, config(engine).name}
    config(copied).write_text("ai.onnx;20;Add\n")
    with pytest.raises(ArtifactError, match=f"{config(engine).name} does not match"):
        open_artifact(copied)


def test_the_verdict_is_that_of_the_runtimes_own_checker(
    models: Models, engine: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert not analyze_model(models.quantized(TARGET), logger=logging.getLogger("checker"))
    recorded = open_artifact(engine).description.engine
    assert recorded is not None
    for provider, found in recorded["usability"].items():
        partitions = f"{found['pieces']} partitions with a total of {found['nodes']}/{found['of']} nodes"
        assert f"{partitions} can be handled by the {provider.replace('Core ML', 'CoreML')} EP" in caplog.text
        assert found["worthwhile"] == "no"
    assert len(recorded["usability"]) == 3
    assert recorded["notes"][0].startswith("run it on the CPU provider")


def test_a_provider_that_takes_the_graph_is_advised() -> None:
    found = {"NNAPI": Usability("no", 10, 100, 5), "Core ML MLProgram": Usability("maybe", 90, 100, 2)}
    assert advice(found).startswith("try Core ML MLProgram: ")
    assert "NNAPI no (takes 10 of 100 nodes, in 5 pieces)" in advice(found)


def test_building_says_what_is_beside_the_engine_and_what_is_unverified(
    models: Models, tmp_path: Path
) -> None:
    made = build(models.quantized(TARGET), output=tmp_path / "a.ort", workspace=models.workspace)
    assert (made.target, made.runtime) == (TARGET, "onnxruntime")
    assert set(made.files) == {"a.ort", f"a.{CONFIG}"}
    assert made.bytes == sum((tmp_path / name).stat().st_size for name in made.files)
    assert "unverified on a device" in made.notes[-1]


def test_a_graph_that_the_runtime_refuses_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(TargetError, match=f"cannot read {broken} as ONNX"):
        find_target(TARGET).build(broken, tmp_path / "a.ort")
