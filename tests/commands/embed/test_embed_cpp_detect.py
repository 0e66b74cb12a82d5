"""Embedded C++ of a detector against Python: boxes, scores, labels and masks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from support.detectors import BOXES, NAMES, SIZE, Engines, constant_model, expected_objects, made
from support.embedded import MANIFEST, SIZES, Build, Embedded, Pixels, attempt, noise, python_outputs, run

from convnext_edge import embed, predict
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.embed.bundle import KNOWN_BY, check_images
from convnext_edge.commands.embed.command import Language
from convnext_edge.commands.predict.objects import overlay
from convnext_edge.errors import UsageError
from convnext_edge.images.objects import Found, split

pytestmark = [pytest.mark.programs("cmake", "c++"), pytest.mark.slow]
RUNTIMES = ("openvino", "onnxruntime")
CALL = 6  # line of the harness that `detect` answers
LINES = 9  # of the harness for an image
THRESHOLD = 0.05  # of the harness

Folders = Callable[[str], Path]
Told = tuple[int, str, float, NDArray[np.float64], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def folders(detectors: Engines, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The folder of the tiny detector for a runtime."""
    place = tmp_path_factory.mktemp("folders")
    return cache(lambda runtime: embed(detectors(runtime), lang="cpp", output=place / runtime).directory)


def told(line: str, image: Pixels) -> list[Told]:
    """What the harness says of each object, with its mask over the whole picture."""
    words, found = line.split(), []
    for start in range(0, len(words), 12):
        index, label, score, *box = words[start : start + 7]
        left, top, width, height = map(int, words[start + 7 : start + 11])
        inside = np.zeros(image.shape[:2], bool)
        bits = np.array(list(words[start + 11][1:])) == "1"
        inside[top : top + height, left : left + width] = bits.reshape(height, width)
        found.append((int(index), label, float(score), np.array(box, np.float64), inside))
    return found


def assert_same(found: list[Told], expected: Found, image: Pixels, folder: Path) -> None:
    """Fail where an object differs from Python's in a bit."""
    (sidecar,) = (folder / "model").glob("*.json")
    prepared = open_artifact(sidecar.with_suffix("")).description.preprocessing
    wanted = expected_objects(expected, image, prepared, THRESHOLD)
    assert len(found) == len(wanted)
    for (index, label, score, box, inside), other in zip(found, wanted, strict=True):
        assert (index, label) == (other[0], NAMES[other[0]])
        assert np.float32(score) == np.float32(other[1])
        np.testing.assert_array_equal(box, other[2])
        np.testing.assert_array_equal(inside, other[3])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_outputs_and_objects_are_those_of_python_bit_by_bit(
    runtime: str, folders: Folders, built: Callable[[str], Build]
) -> None:
    folder, images = folders(runtime), [noise(*size) for size in SIZES]
    expected = python_outputs(folder, images)
    values = np.frombuffer(built(runtime).answer(folder / "model", "outputs", images), np.float32)
    np.testing.assert_array_equal(values, np.concatenate([o.ravel() for each in expected for o in each]))
    lines = built(runtime).lines(folder / "model", "calls", images[:-2])[CALL::LINES]
    for line, outputs, image in zip(lines, expected, images, strict=False):
        (found,) = split(outputs)
        assert_same(told(line, image), found, image, folder)
    assert sum(len(told(*each)) for each in zip(lines, images, strict=False)) > len(lines)
    assert built(runtime).lines(folder / "model", "allocate", [noise(91, 57)]) == ["0"]


def test_boxes_at_edges_in_the_padding_and_without_an_area(
    folders: Folders, built: Callable[[str], Build], tmp_path: Path
) -> None:
    """Fewer detections than places: the rest has the label -1."""
    folder, expected, image = folders("onnxruntime"), made(BOXES), noise(91, 57)
    model = constant_model(folder / "model", tmp_path / "model", expected)
    found = told(built("onnxruntime").lines(model, "calls", [image])[CALL], image)
    assert_same(found, expected, image, folder)
    assert len(found) == len(BOXES) - 3  # what lies in the padding alone, or has no area, is no object
    assert [inside.any() for *_, inside in found][:3] == [True, True, True]


def test_a_label_that_is_none_of_the_classes_is_an_error(
    folders: Folders, built: Callable[[str], Build], tmp_path: Path
) -> None:
    for label in (0, 4):
        wrong = made(BOXES[:1], [label])
        model = constant_model(folders("onnxruntime") / "model", tmp_path / str(label), wrong)
        line = built("onnxruntime").lines(model, "calls", [noise(9, 9)])[CALL]
        assert line.startswith("Error: a label of constant.onnx is none of its 4 classes|Validate it")


@pytest.mark.parametrize("box", [[0, 0, 1e30, 9], [-1e9, 0, 9, 9], [0, 0, 9, SIZE[0] + 2]])
def test_a_box_outside_of_the_input_is_an_error(
    folders: Folders, built: Callable[[str], Build], tmp_path: Path, box: list[float]
) -> None:
    """Its mask would be read where there is none."""
    model = constant_model(folders("onnxruntime") / "model", tmp_path / "model", made([box]))
    line = built("onnxruntime").lines(model, "calls", [noise(9, 9)])[CALL]
    assert line.startswith("Error: a box of constant.onnx lies outside of its input|Validate it")


@pytest.fixture
def without_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample has no letters to draw."""
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *_, **__: None)


@pytest.mark.usefixtures("without_text")
def test_the_sample_tells_and_draws_the_objects_of_predict(
    folders: Folders,
    detectors: Engines,
    embedded: Embedded,
    built: Callable[[str], Build],
    tmp_path: Path,
) -> None:
    folder, sample = folders("openvino"), built("openvino").sample
    pictures = [tmp_path / "a.png", tmp_path / "b.ppm", tmp_path / "c.png"]
    for picture, size in zip(pictures, ((91, 57), (200, 300), (640, 33)), strict=True):
        Image.fromarray(noise(*size)).save(picture)
    maps = tmp_path / "python"
    expected = predict(detectors("openvino"), pictures, threshold=0.3, maps=maps).to_json()["predictions"]
    asked = (sample, "--threshold", "0.3", "--maps", tmp_path / "c++", *pictures)
    found = json.loads(run(*asked, "--json", cwd=folder))["predictions"]
    for row, wanted in zip(found, expected, strict=True):
        assert row["objects"] == json.loads(json.dumps(wanted["objects"]))
        assert row["objects"]
        with Image.open(row["overlay"]) as drawn, Image.open(wanted["overlay"]) as other:
            assert drawn.size == SIZE[::-1]
            np.testing.assert_array_equal(np.asarray(drawn), np.asarray(other))
    first = expected[0]["objects"][0]
    said = run(*asked, cwd=folder).decode()
    assert f"{100 * first['score']:6.2f} %  {first['category_id']:4}  {first['label']}  at " in said
    assert f"wrote {tmp_path / 'c++' / 'b.overlay.png'}" in said
    assert run(sample, "--threshold", "1", pictures[0], cwd=folder) == b"no objects\n"
    refused = attempt(sample, "--threshold", "1.5", pictures[0], cwd=folder)
    assert b"--threshold 1.5 is no number from 0 to 1" in refused.stderr
    refused = attempt(sample, "--threshold", "0.5", pictures[0], cwd=embedded("openvino"))
    assert b"--threshold means nothing to a model of the task classify" in refused.stderr
    timed = json.loads(run(sample, "--bench", "--runs", "2", pictures[0], cwd=folder))
    assert timed["end_to_end_ms"]["min"] > 0


@pytest.mark.usefixtures("without_text")
def test_the_sample_draws_boxes_of_any_size_as_pillow_does(
    folders: Folders, built: Callable[[str], Build], tmp_path: Path
) -> None:
    found, pixels = made(BOXES), noise(*SIZE[::-1])
    model = constant_model(folders("openvino") / "model", tmp_path / "model", found)
    Image.fromarray(pixels).save(tmp_path / "seen.png")
    run(built("openvino").sample, "--model", model, "--maps", tmp_path / "maps", tmp_path / "seen.png")
    with Image.open(tmp_path / "maps" / "seen.overlay.png") as drawn:
        expected = overlay(pixels, found, NAMES, 0.5)
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(expected))


def test_the_manifest_and_the_readme_say_what_a_detector_is(folders: Folders, tmp_path: Path) -> None:
    folder = folders("openvino")
    lines = (folder / "model" / MANIFEST).read_text().splitlines()
    for line in (
        *("format 4", "task detect", "outputs boxes labels scores masks", "classes 4", "first_label 1"),
        *("detections 12", "resize_mode corner", "pad_color 124 116 104"),
    ):
        assert line in lines
    assert (folder / "model" / "labels.txt").read_text().split() == list(NAMES)
    assert "objects of 3 classes" in (folder / "README.md").read_text()
    assert "model.detect({pixels" in (folder / "README.md").read_text()


@pytest.mark.parametrize("lang", ["android", "ios"])
def test_folders_for_telephones_bring_the_boxes_that_python_finds(
    detectors: Engines, folders: Folders, tmp_path: Path, lang: Language
) -> None:
    made_for = embed(detectors("onnxruntime"), lang=lang, output=tmp_path / "app").directory
    (told,) = made_for.rglob("picture.txt")
    picture = np.array(Image.open(told.with_name("picture.png")))
    boxes = python_outputs(folders("onnxruntime"), [picture])[0][0]
    np.testing.assert_allclose(np.array(told.read_text().split(), np.float32), boxes.ravel(), atol=1e-3)
    assert "model.detect(image" in (made_for / "README.md").read_text()
    assert "\ntask detect\n" in next(made_for.rglob(MANIFEST)).read_text()


def test_an_engine_with_other_outputs_is_refused(
    folders: Folders, built: Callable[[str], Build], tmp_path: Path
) -> None:
    shutil.copytree(folders("onnxruntime") / "model", tmp_path / "model")
    manifest = tmp_path / "model" / MANIFEST
    manifest.write_text(manifest.read_text().replace("detections 12", "detections 11"))
    done = attempt(built("onnxruntime").harness, tmp_path / "model", "answers")
    assert b"its input or output is not what the sidecar says" in done.stderr


@pytest.mark.parametrize("lang", get_args(Language))
def test_detectors_are_refused_by_the_language_that_knows_no_objects(
    detectors: Engines, lang: Language
) -> None:
    engine = open_artifact(detectors("onnxruntime"))
    if lang in KNOWN_BY["detect"]:
        check_images(engine, lang)
        return
    with pytest.raises(UsageError, match=f"the libraries for {lang} .* those of task detect") as refused:
        check_images(engine, lang)
    assert "Take --lang cpp" in str(refused.value)
