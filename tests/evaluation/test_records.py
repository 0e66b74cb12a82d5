"""Kept results are shown only where each value has a type and a range that the program knows."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support.report_rows import VALIDATED
from support.wrong_values import WRONG, exchanged, places

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.lineage import Step
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark.result import (
    Benchmark,
    Histogram,
    LayerRow,
    Measurement,
    Milliseconds,
    Throughput,
)
from convnext_edge.commands.report.page import make_page
from convnext_edge.commands.rows import join_rows
from convnext_edge.commands.sensitivity import LayerRow as LayerCost
from convnext_edge.commands.sensitivity import Sensitivity
from convnext_edge.commands.validate.result import Validate
from convnext_edge.errors import ArtifactError
from convnext_edge.evaluation.layer_values import Values
from convnext_edge.evaluation.record_shapes import (
    RESULTS,
    HistogramShape,
    LayerCostShape,
    LayerShape,
    MeasurementShape,
    MillisecondsShape,
    StepShape,
    ThroughputShape,
    ValuesShape,
)
from convnext_edge.evaluation.records import keep, read_records
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.reading import Shape

TIMES = {"p50": 1.0, "p90": 2.0, "p99": 3.0, "min": 0.5}
TIMED = {
    "artifact": "out/tiny.xml",
    "target": "openvino",
    "runtime_version": "2026.4.1",
    **dict.fromkeys(("batch", "threads", "runs"), 1),
    "cpu": "a CPU",
    "isa": ["avx2"],
    "candidate_ms": TIMES,
    "reference_ms": TIMES,
    "speedup": 2.0,
    "throughput_ips": 1000.0,
    "peak_rss_bytes": 2**20,
    "passed": True,
    "fp16_ms": TIMES,
    "advice": "ship INT8",
}
VALUES = {"edges": [-1.0, 0.0, 1.0], "shares": [0.25, 0.75], "low": -0.9, "high": 0.9, "clipped": 0.01}
RANKED = {
    "target": "openvino",
    "calibration": "demo",
    "images": 8,
    "layers": [
        {
            "name": "head",
            "sqnr_db": 40.0,
            "kl": 0.1,
            "latency_saved_ms": 0.1,
            "fp32_ms": 0.2,
            "int8_ms": 0.1,
            "weights": VALUES,
            "activations": VALUES,
        }
    ],
    "seconds": 1.0,
    "model": "out/tiny.onnx",
}
KEPT: dict[str, dict[str, Any]] = {"validate": VALIDATED, "benchmark": TIMED, "sensitivity": RANKED}


def engine(workspace: Workspace) -> Artifact:
    described = Description(
        "engine", "tiny", "tiny", {"classes": 10}, Preprocessing(), recipe={"range": "minmax"}
    )
    return Artifact(workspace.folder / "tiny.xml", described, {"tiny.xml": 64 * "0"})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a result of each command."""
    (tmp_path / "tiny.xml").write_bytes(b"content")
    for command, result in KEPT.items():
        keep(command, result, engine(Workspace(tmp_path)), Workspace(tmp_path))
    return Workspace(tmp_path)


def shown(workspace: Workspace) -> str:
    records = read_records(workspace)
    return make_page(join_rows(records), records)


def refusal(workspace: Workspace) -> ArtifactError | None:
    try:
        assert "<h2>How it was measured</h2>" in shown(workspace)
    except ArtifactError as error:
        return error
    return None


def kept(workspace: Workspace, command: str) -> Path:
    (found,) = workspace.results.glob(f"{command}*.json")
    return found


@pytest.mark.parametrize("command", KEPT)
def test_every_value_is_shown_or_refused(workspace: Workspace, command: str) -> None:
    path = kept(workspace, command)
    record = {**json.loads(path.read_text()), "tools": {"torch": "2"}}
    refused = 0
    for place in places(record):
        for value in WRONG:
            path.write_text(json.dumps(exchanged(record, place, value)))
            error = refusal(workspace)
            assert error is None or (error.hint == "Delete it." and error.message.startswith(f"{path} "))
            refused += error is not None
    assert refused > 8 * len(list(places(record)))


@pytest.mark.parametrize("command", KEPT)
def test_a_key_that_is_missing_is_named(workspace: Workspace, command: str) -> None:
    path = kept(workspace, command)
    record = json.loads(path.read_text())
    for key in record["result"]:
        rest = {name: value for name, value in record["result"].items() if name != key}
        path.write_text(json.dumps({**record, "result": rest}))
        with pytest.raises(ArtifactError, match=f"is damaged: it has no {key}"):
            read_records(workspace)


def test_half_of_the_figures_of_accuracy_are_refused(workspace: Workspace) -> None:
    path = kept(workspace, "validate")
    path.write_text(json.dumps(exchanged(json.loads(path.read_text()), ("result", "drop_points"), None)))
    with pytest.raises(ArtifactError, match="is damaged: it has some figures of top-1"):
        shown(workspace)


def test_a_result_of_a_later_version_with_more_keys_is_shown(workspace: Workspace) -> None:
    path = kept(workspace, "benchmark")
    path.write_text(json.dumps(exchanged(json.loads(path.read_text()), ("result", "later"), [{}])))
    assert "2.00x" in shown(workspace)


@pytest.mark.parametrize(
    ("command", "kind"), [("validate", Validate), ("benchmark", Benchmark), ("sensitivity", Sensitivity)]
)
def test_each_key_of_a_result_has_a_shape(command: str, kind: type[Any]) -> None:
    """A new key of a result gets one in record_shapes.py, with a default."""
    shape = set(RESULTS[command].model_fields)
    assert {field.name for field in fields(kind)} == shape


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (Measurement, MeasurementShape),
        (Milliseconds, MillisecondsShape),
        (Throughput, ThroughputShape),
        (Histogram, HistogramShape),
        (LayerRow, LayerShape),
        (LayerCost, LayerCostShape),
        (Values, ValuesShape),
        (Step, StepShape),
    ],
)
def test_each_key_inside_a_result_has_a_shape(kind: type[Any], shape: type[Shape]) -> None:
    assert {field.name for field in fields(kind)} == set(shape.model_fields)


def test_names_that_are_long_or_odd_do_not_keep_a_result_from_being_kept(workspace: Workspace) -> None:
    before = len(read_records(workspace))
    names = ["x" * 250, "a\nb", "caf\udce9"]
    for name in names:
        keep("validate", {**VALIDATED, "data": name}, engine(workspace), workspace)
    found = [record["result"].get("data") for record in read_records(workspace)]
    assert (len(found), r"caf\xe9" in found) == (before + len(names), True)


DEVICE = {
    "url": "ssh://pi@device",
    "name": "device",
    "machine": "aarch64",
    "cpu": "Cortex-A76",
    "isa": ["asimd", "asimddp"],
    "int8_saturates": False,
    "kernel": "Linux 6.12",
    "libc": "glibc 2.41",
    "governor": "performance",
    "clock_mhz": 2400.0,
    "max_clock_mhz": 2400.0,
    "temperature_c": 51.5,
    "runner": None,
    "emulated": False,
}


def test_a_result_about_images_whose_names_are_no_utf8_is_read_again(workspace: Workspace) -> None:
    name = "f\udcfcr.png"  # Latin-1, as os.listdir gives it
    keep("validate", {**VALIDATED, "skipped_images": [name], "data": "more"}, engine(workspace), workspace)
    kept = [record["result"].get("skipped_images") for record in read_records(workspace)]
    assert ["f\\xfcr.png"] in kept


def test_results_of_a_device_and_of_this_machine_are_never_in_one_row(workspace: Workspace) -> None:
    there = {**TIMED, "reference_ms": None, "speedup": None, "speedup_ci95": None, "device": DEVICE}
    emulated = {**VALIDATED, "device": {**DEVICE, "runner": "qemu-aarch64", "emulated": True}}
    keep("benchmark", there, engine(workspace), workspace)
    keep("validate", emulated, engine(workspace), workspace)
    records = read_records(workspace)
    assert len(records) == 5, "none has taken the place of another"
    assert [record["cpu"]["name"] for record in records if record["result"].get("device")] == 2 * [
        "Cortex-A76"
    ]
    rows = {(row["device"] or {}).get("runner", "here"): row for row in join_rows(records)}
    assert set(rows) == {"here", None, "qemu-aarch64"}
    assert (rows["here"]["images"], rows["here"]["speedup"]) == (10, 2.0)
    assert (rows[None]["images"], rows[None]["speedup"]) == (None, None)
    assert (rows["qemu-aarch64"]["images"], rows["qemu-aarch64"]["candidate_ms"]) == (10, None)
    page = shown(workspace)
    assert "governor performance" in page
    assert "Simulated by qemu-aarch64: its times are no times." in page


@pytest.mark.parametrize("place", list(DEVICE))
def test_every_value_of_a_device_is_shown_or_refused(workspace: Workspace, place: str) -> None:
    path = kept(workspace, "benchmark")
    record = exchanged(json.loads(path.read_text()), ("result", "device"), DEVICE)
    path.write_text(json.dumps(record))
    assert DEVICE["kernel"] in shown(workspace)
    refused = 0
    for value in WRONG:
        path.write_text(json.dumps(exchanged(record, ("result", "device", place), value)))
        refused += refusal(workspace) is not None
    assert refused > 5
