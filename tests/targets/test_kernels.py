"""Which kernels the INT8 layers of a model get, by target, form and machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from support.small_artifacts import DESCRIPTION

from convnext_edge import build, quantize
from convnext_edge.artifacts.artifact import FAKE_QUANTIZED, Artifact
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.cpu import Machine
from convnext_edge.errors import UsageError
from convnext_edge.targets import kernels
from convnext_edge.targets.kernels import kernels_of
from convnext_edge.targets.openvino import OpenVINOSession
from convnext_edge.targets.registry import NAMES, find_target

from support.models import Models  # isort: skip

MACHINES: tuple[Machine, ...] = get_args(Machine)
CONV, LINEAR = replace(DESCRIPTION, form="conv"), replace(DESCRIPTION, form="linear", target="onnxruntime")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("target", NAMES)
def test_the_form_that_is_chosen_for_a_machine_has_int8_kernels_there_where_we_know_any(
    target: str, machine: Machine
) -> None:
    found = find_target(target)
    if machine in found.int8_forms:
        assert found.int8_kernels(found.int8_form(machine), machine) is True
    else:
        assert found.int8_form(machine) == found.form
        assert found.int8_kernels(found.form, machine) is (None if found.has_int8_kernels else False)


def test_the_form_of_openvino_for_x86_is_multiplied_in_float_on_arm64() -> None:
    openvino = find_target("openvino")
    assert openvino.int8_form("x86-64") == "conv"
    assert openvino.int8_form("aarch64") == "rows"
    there = kernels_of(CONV, openvino, "aarch64")
    assert there.int8 is False
    assert there.precision("int8") == FAKE_QUANTIZED
    assert there.advice is not None
    assert "--target openvino --for aarch64 or with --target onnxruntime" in there.advice
    here = kernels_of(CONV, openvino, "x86-64")
    assert (here.int8, here.advice, here.precision("int8")) == (True, None, "int8")


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("machine", MACHINES)
def test_the_linear_form_has_int8_kernels_everywhere(target: str, machine: Machine) -> None:
    found = kernels_of(LINEAR, find_target(target), machine)
    assert (found.int8, found.advice) == (True, None)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "w8a32", "w8a16"])
def test_what_has_no_int8_layer_needs_no_advice(precision: str) -> None:
    found = kernels_of(replace(CONV, precision=precision), find_target("openvino"), "aarch64")
    assert (found.int8, found.advice, found.precision(precision)) == (False, None, precision)


def test_a_model_of_its_own_machine_is_judged_by_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "this_machine", lambda: "x86-64")
    for_arm = replace(LINEAR, target="openvino", machine="aarch64")
    assert kernels_of(for_arm, find_target("openvino")).machine == "aarch64"
    assert kernels_of(replace(for_arm, machine=None), find_target("openvino")).machine == "x86-64"


def test_on_an_unknown_machine_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "this_machine", lambda: None)
    found = kernels_of(CONV, find_target("openvino"))
    assert (found.int8, found.advice, found.machine) == (None, None, None)


def test_who_runs_an_engine_for_another_machine_is_told(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(kernels, "note", said.append)
    engine = open_artifact(models.engine("openvino", models.quantized("openvino")))
    kernels.warn_of_kernels(engine, find_target("openvino"))
    assert said == []
    monkeypatch.setattr(kernels, "this_machine", lambda: "aarch64")
    kernels.warn_of_kernels(engine, find_target("openvino"))
    (sentence,) = said
    assert sentence.startswith("openvino multiplies the INT8 layers of this model in float on aarch64")
    for_arm = replace(LINEAR, target="openvino", machine="aarch64")
    kernels.warn_of_kernels(Artifact(Path("arm.xml"), for_arm, {}), find_target("openvino"))
    monkeypatch.setattr(kernels, "this_machine", lambda: "x86-64")
    kernels.warn_of_kernels(Artifact(Path("arm.xml"), for_arm, {}), find_target("openvino"))
    assert said[1:] == [
        "arm.xml was made for aarch64, and this machine is x86-64: its speed here tells nothing about"
        " aarch64, and a model made for x86-64 may be faster here"
    ]


def test_a_model_for_x86_is_built_for_arm64_under_its_true_name(models: Models, tmp_path: Path) -> None:
    made = build(models.quantized("openvino"), machine="aarch64", workspace=tmp_path)
    assert (made.machine, made.int8_kernels) == ("aarch64", False)
    assert made.advice is not None
    assert made.advice in " ".join(made.summary().split())
    described = open_artifact(made.engine).description
    assert (described.precision, described.machine) == (FAKE_QUANTIZED, "aarch64")
    assert "int8" not in made.engine.name
    assert kernels_of(described, find_target("openvino"), "x86-64").int8 is True


@pytest.mark.parametrize("target", ["torch", "tensorrt", "tensorrt-rtx"])
def test_a_machine_means_nothing_to_what_builds_for_gpus_or_for_itself(
    models: Models, photos: Path, tmp_path: Path, target: str
) -> None:
    with pytest.raises(UsageError, match=f"--for aarch64 means nothing to target {target}"):
        build(models.exported(), target=target, machine="aarch64", workspace=tmp_path)
    with pytest.raises(UsageError, match=f"--for aarch64 means nothing to target {target}"):
        quantize(models.exported(), calib=photos, target=target, machine="aarch64", workspace=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_means_nothing_to_a_script(models: Models) -> None:
    with pytest.raises(UsageError, match="--for means nothing with --emit-script"):
        build(models.exported(), target="tensorrt", machine="aarch64", emit_script=True)


def test_a_model_for_arm64_is_quantized_in_the_form_that_has_int8_kernels_there(
    models: Models, photos: Path, tmp_path: Path
) -> None:
    made = quantize(
        models.exported(), calib=photos, samples=4, machine="aarch64", timing=True, workspace=tmp_path
    )
    assert made.speedup_over_fp32 is None, "it was timed on another machine than its own"
    assert made.artifact.name.endswith("-openvino-aarch64.onnx")
    described = open_artifact(made.artifact).description
    assert (described.form, described.machine, described.precision) == ("rows", "aarch64", "int8")
    built = build(made.artifact, workspace=tmp_path)
    assert (built.machine, built.int8_kernels, built.advice) == ("aarch64", True, None)
    found = [
        primitive
        for kind, primitive in OpenVINOSession(built.engine, 1).kernels()
        if kind == "FullyConnected"
    ]
    multiplied = [name for name in described.quantized_layers if name != "head"]  # whose input stays float
    assert sum(primitive.endswith("I8") for primitive in found) == len(multiplied)


def test_the_reference_never_calls_an_engine_int8(models: Models) -> None:
    engine = open_artifact(models.engine("torch", models.quantized("torch")))
    assert engine.description.precision == FAKE_QUANTIZED
