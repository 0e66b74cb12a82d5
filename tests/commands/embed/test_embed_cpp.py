"""Embedded C++ against Python: the same squares, the same logits, the same errors; built with sanitizers."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.embedded import (
    MANIFEST,
    SIZES,
    Build,
    Embedded,
    Pixels,
    attempt,
    noise,
    packed,
    python_logits,
    run,
)
from support.embedded_apps import BOUNDED_MANIFESTS, early
from support.golden import conformance
from support.models import CLASSES, RESOLUTION

from convnext_edge.artifacts.digests import sha256
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import ArtifactError, ImageSetError
from convnext_edge.evaluation.conformance import golden_cases
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess

pytestmark = [pytest.mark.programs("cmake", "c++"), pytest.mark.slow(seconds=90)]
RUNTIMES = ("openvino", "onnxruntime")
CASES = [(runtime, input_type) for runtime in RUNTIMES for input_type in ("float32", "uint8")]


# The same answers


@pytest.mark.parametrize(("runtime", "input_type"), [*CASES, ("ort-mobile", "float32")])
def test_the_logits_are_those_of_python_bit_by_bit(
    embedded: Embedded, built: Callable[[str], Build], pictures: list[Pixels], runtime: str, input_type: str
) -> None:
    folder = embedded(runtime, input_type)
    library = built("onnxruntime" if runtime == "ort-mobile" else runtime)
    answer = library.answer(folder / "model", "logits", pictures)
    found = np.frombuffer(answer, np.float32).reshape(len(pictures), CLASSES)
    np.testing.assert_array_equal(found, python_logits(folder, pictures))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_golden_engines_answer_as_everywhere(
    built: Callable[[str], Build], tmp_path: Path, runtime: str
) -> None:
    found = conformance(built(runtime), runtime, tmp_path, cases=golden_cases(), threads=(1, 2))
    assert {how: deviation for how, deviation in found.items() if not deviation.passed} == {}
    assert len(found) == 8


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_classes_and_their_order_are_those_of_python(
    embedded: Embedded, built: Callable[[str], Build], pictures: list[Pixels], runtime: str
) -> None:
    folder = embedded(runtime)
    lines = built(runtime).lines(folder / "model", "answers", pictures)
    best = np.argsort(-python_logits(folder, pictures), axis=1, kind="stable")[:, :2]
    found = [[int(word) for word in line.split()[0::3]] for line in lines]
    assert found == best.tolist()
    assert all(line.split()[0] == line.split()[1] for line in lines)  # without names, labels are numbers


@pytest.mark.parametrize("filtered", ["bicubic", "bilinear", "box", "hamming", "lanczos"])
@pytest.mark.parametrize("crop", [1.0, 0.875, 0.6])
def test_squares_are_those_of_pillow_bit_by_bit(
    embedded: Embedded, built: Callable[[str], Build], tmp_path: Path, crop: float, filtered: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(embedded("openvino") / "model", model)
    change(model, crop=crop, interpolation=filtered)
    images = [noise(width, height) for width, height in SIZES]
    answer = built("openvino").answer(model, "squares", images)
    found = np.frombuffer(answer, np.uint8).reshape(len(SIZES), RESOLUTION, RESOLUTION, 3)
    prepared = early(RESOLUTION, crop, filtered)
    for image, square in zip(images, found, strict=True):
        np.testing.assert_array_equal(square, preprocess(Image.fromarray(image), prepared), str(image.shape))


def change(model: Path, **values: object) -> None:
    """Give keys of the manifest other values."""
    lines = (model / MANIFEST).read_text().splitlines()
    changed = [f"{key} {values.get(key, rest)}" for key, _, rest in (line.partition(" ") for line in lines)]
    (model / MANIFEST).write_text("\n".join(changed) + "\n")


def test_rows_may_lie_apart(embedded: Embedded, built: Callable[[str], Build]) -> None:
    images = [noise(33, 21), noise(5, 1)]
    model = embedded("openvino") / "model"
    apart = run(built("openvino").harness, model, "squares", given=packed(images, padding=7))
    assert apart == built("openvino").answer(model, "squares", images)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_eight_threads_at_once_agree(
    embedded: Embedded, built: Callable[[str], Build], pictures: list[Pixels], runtime: str
) -> None:
    model = embedded(runtime) / "model"
    some = pictures[:12]
    assert built(runtime).lines(model, "threads", some) == built(runtime).lines(model, "answers", some)


def test_nothing_is_allocated_once_a_size_was_seen(embedded: Embedded, built: Callable[[str], Build]) -> None:
    images = [noise(*size) for size in SIZES]
    assert built("openvino").lines(embedded("openvino") / "model", "allocate", images) == ["0"] * len(SIZES)


# Errors


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_images_that_cannot_be_classified_are_refused(
    embedded: Embedded, built: Callable[[str], Build], runtime: str
) -> None:
    long, empty = noise(1, 200_000), noise(0, 0)
    answers = built(runtime).lines(embedded(runtime) / "model", "answers", [long, empty, noise(1, 10_000)])
    with pytest.raises(ImageSetError) as refused:
        preprocess(Image.fromarray(long), Preprocessing(RESOLUTION))
    assert answers[0] == f"Error: {refused.value}"
    assert answers[1].startswith("Error: an image of 0x0 pixels has none|Give")
    expected = python_logits(embedded(runtime), [noise(1, 10_000)])
    assert int(answers[2].split()[0]) == expected.argmax()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_misuse_is_an_exception_or_the_right_answer(
    embedded: Embedded, built: Callable[[str], Build], runtime: str
) -> None:
    lines = built(runtime).lines(embedded(runtime) / "model", "abuse")
    expected = [
        "Error: the pixels of a 20x10 image are a null pointer|Give its RGB bytes.",
        "Error: an image of 0x0 pixels has none|Give width and height from 1.",
        "Error: an image of -1x10 pixels has none|Give width and height from 1.",
        "Error: a stride of 59 bytes is too short for 20 pixels a row"
        "|Give the bytes from one row to the next, or 0.",
        "Error: 2147483647x2147483647 pixels, more than 89478485 in all",
        "Error: top_k 0 is less than 1|Give a whole number from 1.",
        str(CLASSES),
        "Error: the workspace is not of this model|Take one from its workspace().",
        "Error: threads -1 is out of range|Give a whole number from 1 to 1024, or 0 for all cores.",
        "Error: there are no outputs|Call infer() first.",
        "Error: the workspace was moved from|Take another one from Model::workspace().",
        "Error: no image was prepared|Call prepare() before infer().",
    ]
    assert lines[:-2] == expected
    assert lines[-2] == lines[-1]  # a workspace outlives its classifier


DAMAGE: dict[str, Callable[[Path], None]] = {
    "changed": lambda engine: engine.write_bytes(engine.read_bytes() + b" "),
    "emptied": lambda engine: engine.write_bytes(b""),
    "missing": lambda engine: engine.unlink(),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_engine_is_refused_in_the_words_of_python(
    embedded: Embedded, built: Callable[[str], Build], tmp_path: Path, runtime: str, damage: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(embedded(runtime) / "model", model)
    sidecar = next(model.glob("*.json"))
    # the companion where there is one: the engine's own absence has another text in Python
    engine = next(iter(model.glob("*.bin")), sidecar.with_suffix(""))
    DAMAGE[damage](engine)
    done = attempt(built(runtime).harness, model, "answers")
    assert done.returncode == 1
    with pytest.raises(ArtifactError) as refused:
        open_artifact(sidecar.with_suffix(""))
    if not (damage == "missing" and engine == sidecar.with_suffix("")):
        assert done.stderr.decode() == str(refused.value)
    assert str(engine) in done.stderr.decode()


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"format": "5"}, "has format 5, this version reads 1 to 4"),
    ({"resolution": "many"}, "is damaged: resolution is 'many'"),
    ({"resolution": "64px"}, "is damaged: resolution is '64px'"),
    ({"resolution": "-3"}, "out of range"),
    ({"crop": "1e-300"}, "out of range"),
    ({"classes": "999"}, "has 10 labels for 999 classes"),
    ({"resolution": "32"}, "its input or output is not what the sidecar says"),
    ({"interpolation": "cubist"}, "interpolation 'cubist' is not known"),
    ({"runtime": "tensorrt"}, "is an engine for tensorrt, this library was built for"),
    ({"file": "00 ../../elsewhere"}, "is damaged: file is '00 ../../elsewhere'"),
    *BOUNDED_MANIFESTS,
]


@pytest.fixture(scope="module")
def refusals(
    embedded: Embedded, built: Callable[[str], Build], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[str]]:
    """What the library of a runtime says to each of `REFUSED`, which one process opens in turn."""

    def by(runtime: str) -> list[str]:
        place = tmp_path_factory.mktemp("refused")
        models = [place / str(number) for number in range(len(REFUSED))]
        for model, (values, _) in zip(models, REFUSED, strict=True):
            shutil.copytree(embedded(runtime) / "model", model)
            change(model, **values)
        given = "".join(f"{model}\n" for model in models).encode()
        told = run(built(runtime).harness, place, "refused", given=given).decode()
        return told.removesuffix("\n").split("\n")  # a name has another character that splits lines

    return cache(by)


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=lambda number: str(REFUSED[number])[:60])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_damaged_manifest_is_refused(
    refusals: Callable[[str], list[str]], runtime: str, number: int
) -> None:
    found = refusals(runtime)
    assert len(found) == len(REFUSED)
    assert found[number].startswith("Error: ")
    assert REFUSED[number][1] in found[number]


@pytest.mark.parametrize("endless", [True, False], ids=["a device", "a pipe"])
def test_a_manifest_that_never_ends_is_refused(
    embedded: Embedded, built: Callable[[str], Build], tmp_path: Path, endless: bool
) -> None:
    if endless:
        (tmp_path / MANIFEST).symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / MANIFEST)
    done = attempt(built("openvino").harness, tmp_path, "answers")
    assert (done.returncode, b"does not exist" in done.stderr) == (1, True)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_engine_that_the_runtime_refuses_is_an_error(
    embedded: Embedded, built: Callable[[str], Build], tmp_path: Path, runtime: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(embedded(runtime) / "model", model)
    engine = next(model.glob("*.json")).with_suffix("")
    engine.write_bytes(b"no engine")
    manifest = (model / MANIFEST).read_text()
    digest = re.search(rf"^file (\w+) {re.escape(engine.name)}$", manifest, flags=re.MULTILINE)
    assert digest is not None
    (model / MANIFEST).write_text(manifest.replace(digest[1], sha256(engine)))
    done = attempt(built(runtime).harness, model, "answers")
    assert done.returncode == 1
    assert f" refuses {engine}: " in done.stderr.decode()
    assert "build and embed it again" in done.stderr.decode()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_folder_that_is_missing_is_refused(
    embedded: Embedded, built: Callable[[str], Build], tmp_path: Path, runtime: str
) -> None:
    done = attempt(built(runtime).harness, tmp_path / "none", "answers")
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"{tmp_path / 'none' / MANIFEST} does not exist\n")
