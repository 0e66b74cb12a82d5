"""The demo: offline, from what comes with the package, and within its bars."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support.command_line import commands_in
from support.needs import package
from support.places import ROOT

import convnext_edge
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.variants import DEMO, DEMO_DETECT, DEMO_SEGMENT
from convnext_edge.commands.demo import Demo, DemoRow, Shown
from convnext_edge.images.image_set import overlap
from convnext_edge.images.opening import open_image_set

RECORD = ROOT / "benchmarks" / "results" / "demo_training.json"
SEGMENTER_RECORD = RECORD.with_name("demo_segment_training.json")
DETECTOR_RECORD = RECORD.with_name("demo_detect_training.json")
module = import_module("convnext_edge.commands.demo")  # the package has a function of that name


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


def demo_in_openvino(task: Shown, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """What the demo of another task finds, timed in few rounds."""
    monkeypatch.setattr(module, "ON_CPUS", ("openvino",))
    monkeypatch.setitem(module.MODELS, task, replace(module.MODELS[task], runs=15))
    return convnext_edge.demo(task=task, workspace=folder)


@pytest.mark.slow(seconds=30)
def test_the_segmenter_of_the_demo_meets_its_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = demo_in_openvino("segment", tmp_path, monkeypatch)
    assert found.passed
    assert (found.images, found.agreement) == (200, found.metrics["agreement"])
    assert found.agreement >= 0.99
    assert (found.metrics["drop_points"] or 0) <= 0.3
    record = json.loads(SEGMENTER_RECORD.read_text(encoding="utf-8"))
    assert found.metrics["miou_reference"] == pytest.approx(record["test_miou"], abs=0.005)
    assert f"{found.metrics['miou']:.1%}" in found.summary()
    assert found.next_command().startswith("convnext-edge embed")
    assert "look:   convnext-edge predict " in found.summary()


def test_pictures_with_label_maps_of_the_demo_are_apart() -> None:
    calibration = open_image_set("demo_segment", split="calibration")
    evaluation = open_image_set("demo_segment", split="evaluation")
    assert (len(calibration), len(evaluation)) == (128, 200)
    assert evaluation.mapped
    assert overlap(calibration, evaluation) == 0
    source = load_source("demo_segment")
    assert source.reference.architecture == DEMO_SEGMENT.architecture
    assert source.classes == ("background", *load_source("demo").classes)


@pytest.mark.slow(seconds=40)
def test_the_detector_of_the_demo_meets_its_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package("pycocotools", "pip install 'convnext-edge[coco]'")
    found = demo_in_openvino("detect", tmp_path, monkeypatch)
    assert found.passed
    assert (found.images, found.agreement) == (200, found.metrics["agreement"])
    assert found.agreement >= 0.97
    record = json.loads(DETECTOR_RECORD.read_text(encoding="utf-8"))
    assert min(record["test_box_ap"], record["test_mask_ap"]) > 0.3  # of less, a drop would tell nothing
    for name in ("box_ap", "mask_ap"):
        reference, candidate = found.metrics[f"{name}_reference"], found.metrics[name]
        assert reference == pytest.approx(record[f"test_{name}"], abs=0.005)
        assert candidate is not None
        assert candidate >= reference - 0.005
        assert f"{candidate:.1%}" in found.summary()


def test_the_demo_says_which_figures_it_does_not_tell() -> None:
    figures = {"agreement": 0.99, "sqnr_db": 20.0, "speedup": 4.0, "speedup_ci95": (3.9, 4.1)}
    told = {"engine": Path("x.xml"), "reliable": True, "passed": True, "candidate_top1": None, **figures}
    row = DemoRow(target="openvino", bytes=2**20, metrics={"agreement": 0.99}, **told)  # type: ignore[arg-type]
    rest = {"images": 200, "seconds": 60.0, "rows": (row,), "task": "detect", "reference_top1": None}
    lines = Demo(**told, **rest).summary().splitlines()  # type: ignore[arg-type]
    assert lines[0].split()[:5] == ["target", "box", "AP", "mask", "AP"]
    assert lines[2].split()[:5] == ["openvino", "INT8", "-", "-", "99.0%"]
    assert lines[3] == (
        "- not told, and no gate is on it: it needs pycocotools (pip install 'convnext-edge[coco]')"
    )
    assert lines[-1] == "look:   convnext-edge predict x.xml demo_detect --maps maps"


def test_the_demo_leads_to_an_application() -> None:
    figures = {"agreement": 0.99, "sqnr_db": 20.0, "speedup": 4.0, "speedup_ci95": (3.9, 4.1)}
    told = {"engine": Path("x.xml"), "reliable": True, "candidate_top1": 0.9, "metrics": {}, **figures}
    for task in ("classify", "segment", "detect"):
        for passed in (True, False):
            found = Demo(  # type: ignore[arg-type]
                **told, passed=passed, images=8, seconds=1.0, rows=(), task=task, reference_top1=0.9
            )
            assert found.next_command() == ("convnext-edge embed x.xml --lang cpp" if passed else "")
            assert ("look:" in found.summary()) == (task != "classify")


def test_pictures_with_objects_of_the_demo_are_apart() -> None:
    calibration = open_image_set("demo_detect", split="calibration")
    evaluation = open_image_set("demo_detect", split="evaluation")
    assert (len(calibration), len(evaluation)) == (128, 200)
    assert (calibration.boxed, evaluation.boxed) == (False, True)
    assert overlap(calibration, evaluation) == 0
    source = load_source("demo_detect")
    assert source.reference.architecture == DEMO_DETECT.architecture
    assert [name for _, name in evaluation.categories] == list(source.classes[1:])
