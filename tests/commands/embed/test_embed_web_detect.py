"""Embedded pages of a detector, in Chromium: the objects of Python, and how they are drawn on the picture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from support.detectors import BOXES, NAMES, SIZE, Engines, constant_model, expected_objects, made
from support.embedded import Pixels, noise, python_outputs
from support.embedded_web import Browser, page_folder, served

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.predict.objects import overlay
from convnext_edge.evaluation.detections import match
from convnext_edge.images.objects import split
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess

pytestmark = pytest.mark.slow(seconds=20)
ASKED = """
convnextEdge.load().then(async (model) => {
  const image = { data: Uint8ClampedArray.from(%s), width: 91, height: 57 };
  const outputs = await model.run(image);
  const far = { ...outputs[0], values: outputs[0].values.map(() => 1e30) };
  const say = (error) => `${error.name}: ${error.message} ${error.hint}`;
  const told = (object) => {
    const { inside, ...place } = convnextEdge.maskOf(object);
    return { ...object, likely: [...object.likely], mask: { ...place, inside: [...inside] } };
  };
  const [seen, width] = [model.prepare(image), model.manifest.width];
  return {
    outputs: outputs.map(({ name, shape, values }) => ({ name, shape, values: [...values] })),
    objects: (await model.detect(image, 0.4)).map(told),
    overlay: [...convnextEdge.overlayObjects(seen, width, model.objects(outputs, { threshold: 0.4 }))],
    refused: await model.segment(image).catch(say),
    outside: await model.detect(image, 2).catch(say),
    beyond: await (async () => model.objects([far, ...outputs.slice(1)]))().catch(say),
  };
})
"""
SHOWN = 'document.getElementById("square").toDataURL()'
UNCOVERED = f'document.getElementById("covered").click(), {SHOWN}'
RAISE = """
(() => {
  const threshold = document.getElementById("threshold");
  threshold.value = 0.9;
  threshold.dispatchEvent(new Event("input"));
  return document.getElementById("said").textContent;
})()
"""


@pytest.fixture(scope="module")
def folder(detectors: Engines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_folder(detectors("onnxruntime"), tmp_path_factory)


def prepared_for(folder: Path) -> Preprocessing:
    (sidecar,) = (folder / "model").glob("*.json")
    return open_artifact(sidecar.with_suffix("")).description.preprocessing


def answered(browser: Browser, page: str, picture: Pixels) -> dict[str, Any]:
    rgba = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    browser("open", page)
    answer: dict[str, Any] = browser.evaluate(ASKED % json.dumps(rgba.ravel().tolist()))
    return answer


def whole(mask: dict[str, Any], picture: Pixels) -> NDArray[np.bool_]:
    made = np.zeros(picture.shape[:2], bool)
    rows, columns = slice(mask["top"], mask["top"] + mask["height"]), slice(mask["left"], None)
    made[rows, columns][:, : mask["width"]] = np.reshape(mask["inside"], (mask["height"], mask["width"]))
    return made


def test_the_operators_of_detection_run_in_webassembly(folder: Path, browser: Browser) -> None:
    """RoiAlign, NonMaxSuppression and TopK: the detections are Python's, but for rounding."""
    picture = noise(91, 57)
    found = answered(browser, (folder / "index.html").as_uri(), picture)
    exact = python_outputs(folder, [picture])[0]
    assert [output["name"] for output in found["outputs"]] == ["boxes", "labels", "scores", "masks"]
    assert [[1, *output["shape"]] for output in found["outputs"]] == [list(each.shape) for each in exact]
    values = [
        np.array(output["values"], np.float32).reshape(1, *output["shape"]) for output in found["outputs"]
    ]
    (mine,), (expected,) = split(values), split(exact)
    pairs = match(mine, expected)
    assert len(pairs) == len(mine.scores) == len(expected.scores) > 1
    assert min(iou for *_, iou in pairs) > 0.99
    np.testing.assert_allclose(mine.scores, expected.scores, atol=1e-3)


def test_boxes_masks_and_the_overlay_are_those_of_python_bit_by_bit(
    folder: Path, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, expected, picture = tmp_path / "page", made(BOXES), noise(91, 57)
    shutil.copytree(folder, page)
    shutil.rmtree(page / "model")
    constant_model(folder / "model", page / "model", expected)
    prepared = prepared_for(folder)
    with served(page) as url:
        found = answered(browser, url, picture)
    wanted = expected_objects(expected, picture, prepared, 0.4)
    assert len(found["objects"]) == len(wanted) > 3
    for each, (index, score, box, inside) in zip(found["objects"], wanted, strict=True):
        assert (each["index"], each["label"], each["score"]) == (index, NAMES[index], score)
        assert [each["box"][side] for side in ("left", "top", "right", "bottom")] == box.tolist()
        np.testing.assert_array_equal(whole(each["mask"], picture), inside)
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *_, **__: None)  # which the page draws by itself
    seen = preprocess(Image.fromarray(picture), prepared)
    drawn = np.asarray(overlay(seen, expected, NAMES, 0.4))
    np.testing.assert_array_equal(np.reshape(found["overlay"], (*SIZE, 3)), drawn)
    assert found["refused"].startswith("UsageError: the task of constant.onnx is detect, not segment")
    assert found["beyond"].startswith("TargetError: a box of constant.onnx lies outside of its input")
    assert found["outside"] == "UsageError: threshold 2 is no number from 0 to 1 Give one."


def test_the_page_draws_objects_on_the_picture_and_tells_them(
    folder: Path, browser: Browser, tmp_path: Path
) -> None:
    page, expected = tmp_path / "page", made(BOXES[:3])
    shutil.copytree(folder, page)
    shutil.rmtree(page / "model")
    constant_model(folder / "model", page / "model", expected)
    Image.fromarray(noise(150, 100)).save(tmp_path / "picture.png")
    with served(page) as url:
        browser("open", url)
        shown = browser("choose", tmp_path / "picture.png")
        covered = browser.evaluate(SHOWN)
        browser("screenshot", tmp_path / "page.png")
        assert browser.evaluate(RAISE) == "90 %"
        fewer = browser("look")
        bare = browser.evaluate(UNCOVERED)
        complaints = browser("log")["complaints"]
    assert complaints == []
    assert shown["labels"] == ["cat", "dog"]
    assert shown["percents"] == ["95.0%", "62.5%"]
    assert (shown["status"], fewer["labels"]) == ("cat, 95.0%", ["cat"])
    assert covered != bare
