"""`doctor --conformance`: golden engines on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import Run, commands_in

import convnext_edge
from convnext_edge.commands.doctor import Doctor
from convnext_edge.errors import TargetError
from convnext_edge.evaluation import conformance
from convnext_edge.evaluation.conformance import golden_cases


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    with commands_in(tmp_path, monkeypatch) as run_there:
        yield run_there


@pytest.fixture(scope="module")
def checked() -> Doctor:
    return convnext_edge.doctor(conformance=True)


@pytest.mark.slow
def test_this_machine_conforms(checked: Doctor) -> None:
    runs = checked.conformance
    assert runs is not None
    assert [run for run in runs if not run.passed] == []
    assert checked.passed is True
    assert {run.case for run in runs} == {"fp32", "int8-openvino", "int8-onnxruntime", "int8-bytes"}
    assert {run.target for run in runs} == {"openvino", "onnxruntime"}
    assert {run.batch for run in runs} == {1, 8}
    assert all(0 < run.top1_equal == run.top1_decided for run in runs)


@pytest.mark.slow
def test_the_command_prints_keys_and_a_table_of_80_columns(
    run: Run, checked: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convnext_edge, "doctor", lambda **_: checked)
    found = json.loads(run("doctor", "--conformance", "--json").stdout)
    assert found["passed"] is True
    promised = "case target threads batch largest_difference bound top1_equal top1_decided passed"
    assert all(set(promised.split()) <= row.keys() for row in found["conformance"])
    shown = run("doctor", "--conformance").stdout
    assert f"all {len(found['conformance'])} runs conform" in shown
    assert max(map(len, shown.split("\n\n")[-1].splitlines())) <= 80


def test_without_the_option_nothing_is_run(run: Run) -> None:
    found = json.loads(run("doctor", "--json").stdout)
    assert (found["conformance"], found["passed"]) == (None, None)
    assert "conform" not in run("doctor").stdout


def test_a_runtime_that_fails_is_told_with_exit_code_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TargetError("the runtime refuses it")

    monkeypatch.setattr(conformance, "golden_cases", lambda: golden_cases()[:1])
    monkeypatch.setattr(conformance, "THREADS", (1,))
    monkeypatch.setattr(conformance, "build_case", refuse)
    done = run("doctor", "--conformance")
    assert done.exit_code == 3
    assert "fp32 on openvino: the runtime refuses it" in done.stdout
    assert "4 of 4 runs do NOT conform" in done.stdout
