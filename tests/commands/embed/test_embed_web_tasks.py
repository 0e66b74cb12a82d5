"""Embedded pages for other tasks than classifying, in Chromium: the outputs of Python, and how they look."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.embedded import noise, python_outputs
from support.embedded_web import Browser, page_folder
from support.models import CHECKPOINT, RESOLUTION
from support.places import TESTS

from convnext_edge import build, export, predict

pytestmark = pytest.mark.slow(seconds=20)
WIDTH = 96
ASKED = """
convnextEdge.load().then(async (model) => {
  const image = { data: Uint8ClampedArray.from(%s), width: 91, height: 57 };
  const outputs = await model.run(image);
  const embedding = await model.embed(image);
  const say = (error) => `${error.name}: ${error.message} ${error.hint}`;
  const refused = await model.classify(image).catch(say);
  return {
    outputs: outputs.map(({ name, shape, values }) => ({ name, shape, values: [...values] })),
    cosine: convnextEdge.cosine(embedding, embedding.map((value) => -2 * value)),
    refused,
  };
})
"""


def test_a_page_shows_the_embedding_and_the_map_that_python_computes(
    browser: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = export(
        checkpoint=CHECKPOINT, task="embed", with_map=True, resolution=(RESOLUTION, WIDTH), workspace=tmp_path
    )
    folder = page_folder(
        build(model.artifact, target="onnxruntime", workspace=tmp_path).engine, tmp_path_factory
    )
    picture = noise(91, 57)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    rgba = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    browser("open", (folder / "index.html").as_uri())
    shown = [browser("choose", tmp_path / "picture.png") for _ in range(2)]
    found = browser.evaluate(ASKED % json.dumps(rgba.ravel().tolist()))
    complaints = browser("log")["complaints"]
    assert complaints == []
    assert shown[0]["labels"] == ["embedding", "map", "begins with"]
    assert shown[0]["percents"][:2] == ["48", "48 \N{MULTIPLICATION SIGN} 2 \N{MULTIPLICATION SIGN} 3"]
    assert (shown[1]["labels"][-1], shown[1]["percents"][-1]) == ("cosine to the picture before", "1.0000")
    assert found["cosine"] == pytest.approx(-1)
    engine = next((folder / "model").glob("*.opt.onnx")).name
    assert found["refused"] == (
        f"UsageError: the task of {engine} is embed, not classify Call embed(), or run() for all outputs."
    )
    expected = python_outputs(folder, [picture])[0]
    assert [output["name"] for output in found["outputs"]] == ["embedding", "map"]
    for output, exact in zip(found["outputs"], expected, strict=True):
        assert [1, *output["shape"]] == list(exact.shape)
        np.testing.assert_allclose(output["values"], exact.ravel(), atol=1e-4 * exact.std())


SEGMENTED = (96, 160)  # rows and columns
PIXELS = """
(() => {
  const canvas = document.getElementById("square");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.height, canvas.width, [...data]];
})()
"""
UNCOVER = 'document.getElementById("covered").click(), document.getElementById("cover").hidden'


def drawn(browser: Browser) -> np.ndarray:
    """The canvas of the page, (rows, columns, 3)."""
    rows, columns, values = browser.evaluate(PIXELS)
    return np.reshape(values, (rows, columns, 4))[:, :, :3]


def test_a_page_draws_the_overlay_of_predict_on_the_picture(
    browser: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkpoint = TESTS / "fixtures" / "segmentation" / "hf_upernet"
    model = export(checkpoint=checkpoint, resolution=SEGMENTED, workspace=tmp_path)
    engine = build(model.artifact, target="onnxruntime", workspace=tmp_path).engine
    folder, picture = page_folder(engine, tmp_path_factory), tmp_path / "picture.png"
    tiles = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))
    tiles.resize((150, 100), Image.Resampling.BICUBIC).save(picture)
    (expected,) = predict(engine, picture, maps=tmp_path / "maps", workspace=tmp_path).predictions
    browser("open", (folder / "index.html").as_uri())
    shown = browser("choose", picture)
    complaints = list(browser("log")["complaints"])  # before the canvas is read, which Chromium comments
    covered = drawn(browser)
    browser("screenshot", tmp_path / "page.png")
    assert browser.evaluate(UNCOVER) is False
    bare = drawn(browser)
    refused = browser.evaluate(
        "convnextEdge.load().then((model) => model.features({})).catch((error) => error.message)"
    )
    assert complaints == []
    # WebAssembly's logits are those of Python but for rounding, which may decide for a pixel in a thousand
    assert shown["classes"] == [area.index for area in expected.classes]
    shares = [float(text.rstrip("%")) for text in shown["percents"]]
    np.testing.assert_allclose(shares, [100 * area.share for area in expected.classes], atol=0.1)
    assert expected.overlay is not None
    with Image.open(expected.overlay) as overlay:
        same = (covered == np.asarray(overlay)).all(axis=2)
    assert same.mean() > 0.999
    with Image.open(picture) as original:
        seen = original.convert("RGB").resize(SEGMENTED[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(bare, np.asarray(seen))
    assert refused.endswith("is segment, not features")
