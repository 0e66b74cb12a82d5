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

from convnext_edge import build, export

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
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
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
    with Browser(tmp_path / "profile") as browser:
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
