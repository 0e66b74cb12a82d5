"""The demo: offline, from what comes with the package, and within its bars."""

from __future__ import annotations

import json
import socket
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support.command_line import commands_in
from support.places import ROOT

import convnext_edge
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.variants import DEMO, DEMO_SEGMENT
from convnext_edge.images.image_set import overlap
from convnext_edge.images.opening import open_image_set

RECORD = ROOT / "benchmarks" / "results" / "demo_training.json"
SEGMENTER_RECORD = RECORD.with_name("demo_segment_training.json")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The summary and the JSON of one run, which asks for no connection."""
    folder = tmp_path_factory.mktemp("demo")
    asked: list[object] = []

    def no_network(*given: object, **_: object) -> NoReturn:
        asked.append(given)
        raise OSError("there is no network")

    with pytest.MonkeyPatch.context() as patch, commands_in(folder, patch) as run:
        for place, name in (
            (socket.socket, "connect"),
            (socket.socket, "connect_ex"),
            (socket, "getaddrinfo"),
        ):
            patch.setattr(place, name, no_network)
        patch.setattr(convnext_edge, "demo", cache(convnext_edge.demo))
        summary, as_json = run("demo"), run("demo", "--json")
    assert asked == []
    assert (summary.exit_code, as_json.exit_code) == (0, 0), summary.output
    result: dict[str, Any] = json.loads(as_json.stdout)
    assert (folder / result["engine"]).is_file()
    return summary.stdout, result


@pytest.fixture(scope="module")
def demo(printed: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return printed[1]


@pytest.mark.slow(seconds=30)
def test_demo_meets_its_bars_on_both_targets(demo: dict[str, Any]) -> None:
    assert demo["passed"]
    assert demo["images"] == 1000
    assert [row["target"] for row in demo["rows"]] == ["openvino", "onnxruntime"]
    for row in demo["rows"]:
        assert row["agreement"] >= 0.993
        assert demo["reference_top1"] - row["candidate_top1"] < 0.0035  # 3 of 1,000 images
        assert row["sqnr_db"] >= 35


@pytest.mark.slow(seconds=30)
def test_demo_tells_what_the_contract_promises(demo: dict[str, Any]) -> None:
    promised = {
        "reference_top1",
        "candidate_top1",
        "agreement",
        "sqnr_db",
        "speedup",
        "engine",
        "seconds",
        "passed",
    }
    assert promised <= demo.keys()
    assert demo["candidate_top1"] == demo["rows"][0]["candidate_top1"]


@pytest.mark.slow(seconds=30)
def test_demo_model_is_as_good_as_its_record(demo: dict[str, Any]) -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert record["test_accuracy"] >= 0.84
    # 1,000 of the 10,000 test images: three standard errors
    assert demo["reference_top1"] == pytest.approx(record["test_accuracy"], abs=0.035)


@pytest.mark.slow(seconds=30)
def test_demo_works_as_the_readme_prints_it(printed: tuple[str, dict[str, Any]]) -> None:
    summary, demo = printed
    assert "\n$ convnext-edge demo\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"\nengine: {demo['engine']}\n" in summary
    assert f" embed {demo['engine']} --lang cpp" in " ".join(summary.replace("\\\n", " ").split())
    assert summary.count(f"{demo['agreement']:.1%}") >= 1


def test_demo_weights_are_the_variant() -> None:
    source = load_source("demo")
    assert source.reference.architecture == DEMO.architecture
    assert len(source.classes) == DEMO.classes


def test_demo_images_are_apart() -> None:
    calibration = open_image_set("demo", split="calibration")
    evaluation = open_image_set("demo", split="evaluation")
    assert (len(calibration), len(evaluation)) == (256, 1000)
    assert calibration.classes == evaluation.classes == load_source("demo").classes
    assert overlap(calibration, evaluation) == 0


def test_demo_files_stay_small() -> None:
    from convnext_edge.images.definitions import calibration_dir

    folder: Path = calibration_dir() / "demo"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8 * 2**20
    assert load_checkpoint(folder / "demo.safetensors").layout == "convnext_edge"


@pytest.mark.slow(seconds=30)
def test_the_segmenter_of_the_demo_meets_its_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("convnext_edge.commands.demo")
    monkeypatch.setattr(module, "ON_CPUS", ("openvino",))
    monkeypatch.setattr(module, "RUNS", 15)
    found = convnext_edge.demo(task="segment", workspace=tmp_path)
    assert found.passed
    assert (found.images, found.agreement) == (200, found.metrics["agreement"])
    assert found.agreement >= 0.99
    assert (found.metrics["drop_points"] or 0) <= 0.3
    record = json.loads(SEGMENTER_RECORD.read_text(encoding="utf-8"))
    assert found.metrics["miou_reference"] == pytest.approx(record["test_miou"], abs=0.005)
    assert f"{found.metrics['miou']:.1%}" in found.summary()
    assert found.next_command().startswith("convnext-edge predict")


def test_pictures_with_label_maps_of_the_demo_are_apart() -> None:
    calibration = open_image_set("demo_segment", split="calibration")
    evaluation = open_image_set("demo_segment", split="evaluation")
    assert (len(calibration), len(evaluation)) == (128, 200)
    assert evaluation.mapped
    assert overlap(calibration, evaluation) == 0
    source = load_source("demo_segment")
    assert source.reference.architecture == DEMO_SEGMENT.architecture
    assert source.classes == ("background", *load_source("demo").classes)
