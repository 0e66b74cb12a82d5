"""Embedded C++ for every task, and for inputs that are not square, against Python."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from support.embedded import (
    SIZES,
    Build,
    Embedded,
    Pixels,
    attempt,
    noise,
    python_logits,
    python_outputs,
    run,
)
from support.embedded_apps import FRAMES, frame_lines, read_sidecar, with_manifest, with_sidecar
from support.models import CHECKPOINT, CLASSES, RESOLUTION, Models
from support.places import TESTS

from convnext_edge import build, embed, export, predict, quantize
from convnext_edge.commands.embed.bundle import KNOWN_BY
from convnext_edge.commands.embed.command import Language
from convnext_edge.errors import UsageError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess

pytestmark = [pytest.mark.programs("cmake", "c++"), pytest.mark.slow]
RUNTIMES = ("openvino", "onnxruntime")
WIDTH = 96
SEGMENTER = TESTS / "fixtures" / "segmentation" / "hf_upernet"
SEGMENTED = (64, 96)  # rows and columns
KINDS: dict[str, dict[str, object]] = {
    "embed": {"resolution": (RESOLUTION, WIDTH), "with_map": True},
    "features": {"resolution": RESOLUTION},
    "segment": {"checkpoint": SEGMENTER, "resolution": SEGMENTED},
}
LAST = 48  # channels of the last map
CALLS = ("classify", "multilabel", "regress", "embed", "features", "segment", "detect")

Folders = Callable[..., Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Folders:
    """The folder of the small model for a task and a runtime, in FP32 or INT8."""
    place = tmp_path_factory.mktemp("tasks")

    @cache
    def exported(task: str) -> Path:
        return export(**{"checkpoint": CHECKPOINT, "task": task, "workspace": place} | KINDS[task]).artifact  # type: ignore[arg-type]

    @cache
    def made(task: str, runtime: str, precision: str) -> Path:
        model = exported(task)
        if precision == "int8":
            model = quantize(
                model, calib=photos, samples=8, target=runtime, timing=False, workspace=place
            ).artifact
        engine = build(model, target=runtime, workspace=place).engine
        return embed(engine, lang="cpp", output=place / f"{task}-{runtime}-{precision}").directory

    # a cache takes a default that is given for another value than one that is not
    return lambda task, runtime, precision="fp32": made(task, runtime, precision)


def called(program: Build, model: Path, image: Pixels) -> dict[str, str]:
    """What the call of each task answers, and what follows of the harness."""
    lines = program.lines(model, "calls", [image])
    return dict(zip((*CALLS, "lengths", "zeros"), lines, strict=True))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_all_outputs_are_those_of_python_bit_by_bit(
    folders: Folders, built: Callable[[str], Build], task: str, runtime: str, precision: str
) -> None:
    folder, images = folders(task, runtime, precision), [noise(*size) for size in SIZES]
    engine = next((folder / "model").glob("*.json"))
    assert json.loads(engine.read_text())["precision"] == precision
    found = np.frombuffer(built(runtime).answer(folder / "model", "outputs", images), np.float32)
    expected = [output.ravel() for outputs in python_outputs(folder, images) for output in outputs]
    assert found.size > 11 * LAST
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_an_embedding_has_a_direction_and_no_classes(folders: Folders, built: Callable[[str], Build]) -> None:
    folder, image = folders("embed", "openvino"), noise(91, 57)
    found = called(built("openvino"), folder / "model", image)
    same, opposite, *values = map(float, found.pop("embed").split())
    assert (same, opposite, len(values)) == (1, -1, LAST)
    np.testing.assert_array_equal(np.array(values, np.float32), python_outputs(folder, [image])[0][0][0])
    assert found.pop("lengths").startswith("Error: embeddings of 2 and 3 numbers are not of one model|")
    assert found.pop("zeros").startswith("Error: an embedding of zeros has no direction|")
    engine = next((folder / "model").glob("*.xml")).name
    for call, said in found.items():
        assert said == (
            f"Error: the task of {engine} is embed, not {call}|Call embed(), or run() for all outputs."
        )


def test_features_are_the_maps_of_the_stages(folders: Folders, built: Callable[[str], Build]) -> None:
    found = called(built("onnxruntime"), folders("features", "onnxruntime") / "model", noise(40, 90))
    assert found["features"].split() == [
        *("map0", "16", "16", "16", "map1", "24", "8", "8", "map2", "32", "4", "4", "map3", "48", "2", "2")
    ]
    assert found["embed"].startswith("Error: the task of timm_v1-features-onnxruntime.opt.onnx is features")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_label_map_has_the_class_with_the_largest_logit_of_each_pixel(
    folders: Folders, built: Callable[[str], Build], runtime: str
) -> None:
    folder, image = folders("segment", runtime, "int8"), noise(91, 57)
    found = called(built(runtime), folder / "model", image)
    width, height, *classes = map(int, found["segment"].split())
    assert (height, width) == SEGMENTED
    expected = python_outputs(folder, [image])[0][0][0].argmax(0)
    np.testing.assert_array_equal(np.reshape(classes, SEGMENTED), expected)
    assert len(np.unique(expected)) > 1
    assert found["classify"].endswith("is segment, not classify|Call segment(), or run() for all outputs.")
    assert built(runtime).lines(folder / "model", "allocate", [image]) == ["0"]


def test_the_sample_draws_the_maps_of_predict(
    folders: Folders, built: Callable[[str], Build], tmp_path: Path
) -> None:
    folder, sample = folders("segment", "openvino", "int8"), built("openvino").sample
    (engine,) = (folder / "model").glob("*.xml")
    for name, size in (("a.png", (91, 57)), ("b.ppm", (200, 300))):
        Image.fromarray(noise(*size)).save(tmp_path / name)
    pictures = [tmp_path / "a.png", tmp_path / "b.ppm"]
    expected = predict(engine, pictures, maps=tmp_path / "python").to_json()["predictions"]
    asked = (sample, "--maps", tmp_path / "c", *pictures)
    found = json.loads(run(*asked, "--json", cwd=folder))["predictions"]
    for row, wanted in zip(found, expected, strict=True):
        assert (row["picture"], row["classes"]) == (wanted["picture"], wanted["classes"])
        for kind in ("label_map", "overlay"):
            with Image.open(row[kind]) as drawn, Image.open(wanted[kind]) as other:
                assert (drawn.mode, drawn.getpalette()) == (other.mode, other.getpalette())
                np.testing.assert_array_equal(np.asarray(drawn), np.asarray(other))
    said = run(*asked, cwd=folder).decode()  # files of its own are replaced
    assert f"wrote {tmp_path / 'c' / 'b.overlay.png'}" in said
    largest = expected[0]["classes"][0]
    assert f"{100 * largest['share']:6.2f} %  {largest['index']:4}  {largest['label']}\n" in said
    shutil.copy(expected[0]["overlay"], tmp_path / "c" / "a.overlay.png")
    refused = attempt(*asked, cwd=folder)
    assert refused.returncode == 2
    assert b"would take the place of a file that classify did not write" in refused.stderr
    refused = attempt(*asked, cwd=folders("embed", "openvino"))
    assert b"--maps means nothing to a model of the task embed" in refused.stderr
    timed = json.loads(run(sample, "--bench", "--runs", "2", pictures[0], cwd=folder))
    assert timed["end_to_end_ms"]["min"] > 0


def test_labels_may_hold_each_by_itself_and_values_are_as_they_are(
    embedded: Embedded, built: Callable[[str], Build], tmp_path: Path
) -> None:
    folder, image = embedded("openvino"), noise(50, 70)
    logits = python_logits(folder, [image])[0].astype(np.float64)
    many = with_manifest(folder / "model", tmp_path / "many", format=2, task="multilabel")
    found = called(built("openvino"), many, image)["multilabel"].split()
    np.testing.assert_allclose(np.array(found, float), 1 / (1 + np.exp(-logits)), rtol=1e-6)
    values = with_manifest(folder / "model", tmp_path / "values", format=2, task="regress", outputs="values")
    found = called(built("openvino"), values, image)["regress"].split()
    np.testing.assert_array_equal(np.array(found, np.float32), logits.astype(np.float32))
    assert len(found) == CLASSES


@pytest.mark.parametrize("keys", FRAMES, ids=str)
def test_pixels_of_any_frame_are_those_of_pillow_bit_by_bit(
    folders: Folders, embedded: Embedded, built: Callable[[str], Build], tmp_path: Path, keys: dict[str, Any]
) -> None:
    square = "resize" in keys
    folder = embedded("openvino") if square else folders("embed", "openvino")
    width = {} if square else {"width": WIDTH}
    prepared = Preprocessing(RESOLUTION, **(keys | width))  # as the engine takes them
    keys = {key: value for key, value in keys.items() if key != "width"}
    model = with_manifest(folder / "model", tmp_path / "model", **frame_lines(keys))
    images = [noise(*size) for size in SIZES]
    found = np.frombuffer(built("openvino").answer(model, "squares", images), np.uint8)
    for image, pixels in zip(images, found.reshape(len(SIZES), *prepared.size, 3), strict=True):
        np.testing.assert_array_equal(pixels, preprocess(Image.fromarray(image), prepared), str(image.shape))


def test_an_image_may_be_cropped_at_crop_1(
    embedded: Embedded, built: Callable[[str], Build], tmp_path: Path
) -> None:
    model = with_manifest(embedded("openvino") / "model", tmp_path / "model", crop="1.0\nsquash false")
    images = [noise(*size) for size in SIZES]
    found = np.frombuffer(built("openvino").answer(model, "squares", images), np.uint8)
    prepared = Preprocessing(RESOLUTION, 1.0)
    expected = [preprocess(Image.fromarray(image), prepared) for image in images]
    np.testing.assert_array_equal(found, np.stack(expected).ravel())


def test_the_sample_shows_what_fits_the_task(
    folders: Folders, built: Callable[[str], Build], tmp_path: Path
) -> None:
    image = noise(91, 57)
    Image.fromarray(image).save(tmp_path / "picture.ppm")

    def shown(task: str) -> list[str]:
        call = (built("openvino").sample, "--top", "3", tmp_path / "picture.ppm")
        return run(*call, cwd=folders(task, "openvino")).decode().splitlines()

    first = python_outputs(folders("embed", "openvino"), [image])[0][0][0][:3]
    assert shown("embed") == [
        f"embedding {LAST}: {' '.join(f'{value:g}' for value in first)} ...",
        "map 48x2x3",
    ]
    assert shown("features") == ["map0 16x16x16", "map1 24x8x8", "map2 32x4x4", "map3 48x2x2"]


def test_the_manifest_says_what_differs_and_the_readme_the_call(folders: Folders) -> None:
    folder = folders("embed", "openvino")
    lines = (folder / "model" / "convnext_edge.txt").read_text().splitlines()
    for line in ("format 2", "task embed", "outputs embedding map", "classes 0", f"width {WIDTH}"):
        assert line in lines
    assert (folder / "model" / "labels.txt").read_bytes() == b""
    assert "convnext_edge::cosine" in (folder / "README.md").read_text()
    assert "model.features({pixels" in (folders("features", "openvino") / "README.md").read_text()
    folder = folders("segment", "openvino")
    assert "7 classes of pixels" in (folder / "README.md").read_text()
    assert "model.segment({pixels" in (folder / "README.md").read_text()
    assert (folder / "model" / "labels.txt").read_text().split() == list("0123456")


def test_labels_are_refused_where_nothing_has_one(folders: Folders, tmp_path: Path) -> None:
    engine = next(folders("embed", "openvino").parent.glob("*embed*.xml"))
    (tmp_path / "labels").write_text("one\n")
    with pytest.raises(UsageError, match=r"--labels: the task of .* is embed, which has none"):
        embed(engine, lang="cpp", labels=tmp_path / "labels", output=tmp_path / "app")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mean": [0.5], "std": [0.5]}, "the libraries give RGB, and its images have 1 channel"),
        (
            {"interpolation": "cubist"},
            "the libraries do not have 'cubist', by which its images are resized",
        ),
        ({}, "the libraries prepare images of one size, and it takes any"),
    ],
    ids=["grey", "cubist", "dynamic"],
)
@pytest.mark.parametrize("lang", get_args(Language))
def test_images_that_the_libraries_cannot_prepare_are_refused(
    models: Models, tmp_path: Path, lang: Language, values: dict[str, object], said: str
) -> None:
    engine = models.engine("onnxruntime", models.exported())
    prepared = read_sidecar(engine)["preprocessing"] | values
    other = with_sidecar(engine, tmp_path, preprocessing=prepared, dynamic_size=not values)
    with pytest.raises(UsageError, match=re.escape(said)):
        embed(other, lang=lang, output=tmp_path / "app")
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("lang", sorted(set(get_args(Language)) - set(KNOWN_BY["segment"])))
def test_segmenters_are_refused_by_the_language_that_has_no_label_maps(
    folders: Folders, tmp_path: Path, lang: Language
) -> None:
    (engine,) = (folders("segment", "onnxruntime") / "model").glob("*.opt.onnx")
    with pytest.raises(UsageError, match=f"the libraries for {lang} answer with classes of images"):
        embed(engine, lang=lang, output=tmp_path / "app")


@pytest.mark.parametrize(
    ("lang", "task"), [("android", "embed"), ("ios", "features"), ("android", "segment"), ("ios", "segment")]
)
def test_folders_for_telephones_bring_what_python_answers(
    folders: Folders, tmp_path: Path, lang: Language, task: str
) -> None:
    cpp = folders(task, "onnxruntime")
    engine = next((cpp / "model").glob("*.opt.onnx"))
    made = embed(engine, lang=lang, output=tmp_path / "app").directory
    (told,) = made.rglob("picture.txt")
    picture = np.array(Image.open(told.with_name("picture.png")))
    outputs = python_outputs(cpp, [picture])[0]
    expected = (outputs[0].argmax(1) if task == "segment" else outputs[0 if task == "embed" else -1]).ravel()
    np.testing.assert_allclose(np.array(told.read_text().split(), np.float32), expected, rtol=1e-4, atol=1e-5)
    assert f"model.{task}(image)" in (made / "README.md").read_text()
    assert f"\ntask {task}\n" in next(made.rglob("convnext_edge.txt")).read_text()
