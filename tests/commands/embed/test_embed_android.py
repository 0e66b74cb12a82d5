"""The embedded Gradle project: its Kotlin compiled against ONNX Runtime's classes, and run against Python."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from support.control_groups import FREE, LIMITED, systems
from support.detectors import BOXES, NAMES, SIZE, expected_objects, made
from support.embedded import MANIFEST, noise, packed
from support.embedded_apps import (
    ANDROID_ASSETS,
    CROPS,
    DAMAGED_MANIFESTS,
    FILTERS,
    FRAMES,
    SIZES,
    early,
    frame_lines,
    with_manifest,
)
from support.harness import Harness
from support.models import CLASSES, RESOLUTION
from support.needs import npm_package, program
from support.places import TESTS

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.predict import objects
from convnext_edge.commands.predict.maps import MOST_CLASSES, overlay, shares
from convnext_edge.errors import ArtifactError, ImageSetError
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import normalize, preprocess, resized_size

pytestmark = pytest.mark.slow(seconds=40)
FIXTURES = TESTS / "fixtures" / "android"
# These run for seconds: half of that would go into optimizing code and into threads that collect.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512M")
# Of the Kotlin that the Android plugin 9.0 brings along
KOTLIN = ("-language-version", "2.2", "-api-version", "2.2", "-jvm-target", "11")

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def folder(android_folder: Path) -> Path:
    return android_folder


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Compiles all Kotlin of the project without a warning, and calls the harness."""
    place = tmp_path_factory.mktemp("compiled")
    compiler = npm_package("kotlin-compiler")
    archive = npm_package("com.github.asus4.onnxruntime") / "Plugins" / "Android" / "onnxruntime.aar"
    with ZipFile(archive) as members:
        runtime = Path(members.extract("classes.jar", place))
    sources = [*folder.rglob("*.kt"), *FIXTURES.rglob("*.kt")]
    assert len(sources) > 15
    java = program("java")
    done = subprocess.run(
        [
            *("bash", compiler / "bin" / "kotlinc", "-Werror", *KOTLIN),
            *("-cp", runtime, "-d", place / "all.jar", *sources),
        ],
        env={**os.environ, "JAVA_OPTS": " ".join(SHORT_LIVED)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    jars = [place / "all.jar", compiler / "lib" / "kotlin-stdlib.jar", runtime]
    classes = os.pathsep.join(map(str, jars))

    harness = Harness([java, *SHORT_LIVED, "-cp", classes, "convnext.edge.sample.HarnessKt"])
    yield lambda model, mode, given=b"": harness(model, mode, given=given)
    harness.close()


def answer(run: Run, model: Path, mode: str, given: bytes = b"") -> bytes:
    done = run(model, mode, given)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("filtered", FILTERS)
def test_squares_are_those_of_pillow_bit_by_bit(
    folder: Path, run: Run, tmp_path: Path, filtered: str
) -> None:
    images = [noise(width, height) for width, height in SIZES]
    for crop in CROPS:
        model = with_manifest(
            folder / ANDROID_ASSETS / "model", tmp_path / str(crop), crop=crop, interpolation=filtered
        )
        found = np.frombuffer(answer(run, model, "squares", packed(images)), np.uint8)
        squares = found.reshape(len(SIZES), RESOLUTION, RESOLUTION, 3)
        prepared = early(RESOLUTION, crop, filtered)
        for image, square in zip(images, squares, strict=True):
            expected = preprocess(Image.fromarray(image), prepared)
            np.testing.assert_array_equal(square, expected, f"{image.shape} {crop}")


def test_pixels_of_any_frame_are_those_of_pillow_bit_by_bit(folder: Path, run: Run, tmp_path: Path) -> None:
    images = [noise(width, height) for width, height in SIZES]
    for number, keys in enumerate(FRAMES):
        model = with_manifest(folder / ANDROID_ASSETS / "model", tmp_path / str(number), **frame_lines(keys))
        found = np.frombuffer(answer(run, model, "squares", packed(images)), np.uint8)
        prepared = Preprocessing(RESOLUTION, **keys)
        for image, pixels in zip(images, found.reshape(len(SIZES), *prepared.size, 3), strict=True):
            expected = preprocess(Image.fromarray(image), prepared)
            np.testing.assert_array_equal(pixels, expected, f"{image.shape} {keys}")


def test_photographs_are_turned_as_pillow_turns_them(folder: Path, run: Run) -> None:
    image = noise(5, 3)
    expected = b""
    for orientation in range(1, 9):
        stored = Image.fromarray(image)
        stored.getexif()[0x0112] = orientation
        expected += np.asarray(ImageOps.exif_transpose(stored)).tobytes()
    assert answer(run, folder / ANDROID_ASSETS / "model", "turned", packed([image])) == expected


def test_labels_may_hold_each_by_itself_and_embeddings_have_a_cosine(folder: Path, run: Run) -> None:
    shares = answer(run, folder, "judge", b"-2.0 0.0 100.0").split()
    np.testing.assert_allclose(list(map(float, shares)), [1 / (1 + np.exp(2)), 0.5, 1], rtol=1e-6)
    assert answer(run, folder, "cosine", b"1.0 2.0\n-2.0 -4.0") == b"-1.0"
    refused = b"embeddings of 2 and 1 numbers are not of one model"
    assert refused in run(folder, "cosine", b"1.0 2.0\n3.0").stderr


def test_inputs_of_the_engine_are_those_of_python_bit_by_bit(folder: Path, run: Run) -> None:
    model = folder / ANDROID_ASSETS / "model"
    images = [noise(90, 70), noise(33, 200)]
    prepared = open_artifact(next(model.glob("*.onnx"))).description.preprocessing
    squares = np.stack([preprocess(Image.fromarray(image), prepared).transpose(2, 0, 1) for image in images])
    raw = np.frombuffer(answer(run, model, "bytes", packed(images)), np.uint8)
    np.testing.assert_array_equal(raw, squares.ravel())
    floats = np.frombuffer(answer(run, model, "floats", packed(images)), np.float32)
    np.testing.assert_array_equal(floats, normalize(squares, prepared).ravel())


def test_classes_come_in_the_order_of_python_with_softmax(folder: Path, run: Run) -> None:
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=CLASSES).astype(np.float32) for _ in range(5)]
    rows.append(np.array([1, 3, 3, -2, 3], np.float32))  # the lower index first among equals
    text = "\n".join(" ".join(map(repr, row.tolist())) for row in rows)
    lines = answer(run, folder, "rank", text.encode()).decode().splitlines()
    for row, line in zip(rows, lines, strict=True):
        words = line.split()
        best = np.argsort(-row, kind="stable")[:3]
        assert list(map(int, words[::2])) == best.tolist()
        shares = np.exp(row.astype(np.float64)) / np.exp(row.astype(np.float64)).sum()
        np.testing.assert_allclose(list(map(float, words[1::2])), shares[best], rtol=1e-6)
    assert b"are not finite" in run(folder, "rank", b"1.0 NaN 2.0").stderr


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((1, 200_000), None),
        ((0, 0), "ImageException: an image of 0x0 pixels has none\nGive width and height from 1."),
    ],
    ids=str,
)
def test_images_that_cannot_be_resized_are_refused(
    folder: Path, run: Run, tmp_path: Path, size: tuple[int, int], said: str | None
) -> None:
    image = noise(*size)
    done = run(
        with_manifest(folder / ANDROID_ASSETS / "model", tmp_path / "model", crop=0.875),
        "squares",
        packed([image]),
    )
    if said is None:
        with pytest.raises(ImageSetError) as refused:
            preprocess(Image.fromarray(image), Preprocessing(RESOLUTION, 0.875))
        said = f"ImageException: {refused.value}"
    assert (done.returncode, done.stderr.decode()) == (1, said)


@pytest.mark.parametrize("damage", [lambda data: data + b" ", lambda _: b""], ids=["changed", "emptied"])
def test_a_damaged_engine_is_refused_in_the_words_of_python(
    folder: Path, run: Run, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    model = with_manifest(folder / ANDROID_ASSETS / "model", tmp_path / "model")
    engine = next(model.glob("*.onnx"))
    engine.write_bytes(damage(engine.read_bytes()))
    with pytest.raises(ArtifactError) as refused:
        open_artifact(engine)
    expected = str(refused.value).replace(str(engine), engine.name)
    assert run(model, "load").stderr.decode() == f"ArtifactException: {expected}"


def test_what_is_missing_is_named(folder: Path, run: Run, tmp_path: Path) -> None:
    model = with_manifest(folder / ANDROID_ASSETS / "model", tmp_path / "model")
    next(model.glob("*.onnx")).unlink()
    said = run(model, "load").stderr.decode()
    assert re.match(r"ArtifactException: \S+\.onnx cannot be read: .*\nTake the folder model/ over", said)
    assert f"{MANIFEST} cannot be read" in run(tmp_path / "none", "load").stderr.decode()


@pytest.mark.parametrize(("values", "said"), DAMAGED_MANIFESTS, ids=lambda value: str(value)[:60])
def test_a_damaged_manifest_is_refused(
    folder: Path, run: Run, tmp_path: Path, values: dict[str, str], said: str
) -> None:
    model = with_manifest(folder / ANDROID_ASSETS / "model", tmp_path / "model", **values)
    done = run(model, "squares", packed([noise(5, 5)]))
    assert (done.returncode, said in done.stderr.decode()) == (1, True), done.stderr


def test_labels_are_those_of_the_model(folder: Path, run: Run) -> None:
    labels = (folder / ANDROID_ASSETS / "model" / "labels.txt").read_bytes()
    assert answer(run, folder / ANDROID_ASSETS / "model", "load") == labels


def test_the_sample_knows_what_python_answers_to_its_picture(folder: Path, run: Run) -> None:
    assets = folder / "app" / "src" / "main" / "assets"
    artifact = open_artifact(next((folder / ANDROID_ASSETS / "model").glob("*.onnx")))
    prepared = artifact.description.preprocessing
    square = preprocess(Image.open(assets / "picture.png"), prepared).transpose(2, 0, 1)[None]
    with open_session(artifact, "onnxruntime", 1) as session:
        logits = session.run(normalize(square, prepared))[0]
    lines = (assets / "picture.txt").read_text().split()
    np.testing.assert_array_equal(np.array(lines, np.float32), logits)
    told = " ".join(lines)
    assert answer(run, folder, "compare", f"{told}\n{told}".encode()) == b"Identical to Python's answer."
    near = " ".join(map(repr, (logits * 1.01).tolist()))
    assert (
        answer(run, folder, "compare", f"{near}\n{told}".encode()) == b"The class is Python's, 40.0 dB SQNR."
    )
    assert answer(run, folder, "likeness", f"{near}\n{told}".encode()) == b"40.0 dB SQNR to Python's answer."
    far = " ".join(map(repr, (-logits).tolist()))
    assert b"The class is NOT Python's" in answer(run, folder, "compare", f"{far}\n{told}".encode())


def test_label_maps_and_overlays_are_those_of_predict(folder: Path, run: Run, tmp_path: Path) -> None:
    random, (height, width), classes = np.random.default_rng(0), (5, 7), 300
    pixels = random.integers(0, 256, (height, width, 3), np.uint8)
    logits = random.integers(-9, 9, (classes, height, width)).astype(np.float32)  # with equal ones
    numbers = (pixels.astype(int) << (16, 8, 0)).sum(2).ravel()
    texts = (" ".join(map(str, values)) for values in ((width, height), numbers, logits.ravel()))
    told = answer(run, folder, "labels", "\n".join(texts).encode()).decode()
    found, shared, drawn = (line.split() for line in told.split("\n"))
    expected = logits.argmax(0)
    np.testing.assert_array_equal(np.array(found, int), expected.ravel())
    ours = [word for index, share in shares(expected) for word in (index, share)]
    np.testing.assert_allclose(np.array(shared, float), ours)
    colors = np.array(drawn, np.int32).view(np.uint8).reshape(height, width, 4)[:, :, 2::-1]
    known = expected < MOST_CLASSES  # beyond, the colours repeat
    np.testing.assert_array_equal(colors[known], np.asarray(overlay(pixels, expected % MOST_CLASSES))[known])
    assert answer(run, folder, "pixels", b"1.0 2.0 3.0 4.0\n1.0 2.0 3.0 5.0") == (
        b"75.000 % of the pixels are of Python's class."
    )


@pytest.mark.parametrize("size", [(91, 57), SIZE[::-1]], ids=["picture", "seen"])
def test_objects_masks_and_overlays_are_those_of_predict(
    folder: Path, run: Run, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, prepared = made(BOXES), Preprocessing(SIZE[0], 1.0, width=SIZE[1], resize_mode="corner")
    fit = (*resized_size(*size, prepared), 0, 0)
    rows = (size, fit, *(each.ravel().tolist() for each in found))
    given = "\n".join(" ".join(map(str, row)) for row in rows)
    lines = answer(run, folder, "objects", given.encode()).decode().splitlines()
    pixels = noise(*size)
    wanted = expected_objects(found, pixels, prepared, 0.4)
    assert len(lines) == len(wanted) > 3
    for line, (index, score, box, inside) in zip(lines, wanted, strict=True):
        number, label, told, *numbers, bits = line.split()
        assert (int(number), label, np.float32(told)) == (index, NAMES[index], np.float32(score))
        np.testing.assert_array_equal(np.array(numbers[:4], float), box)
        left, top, width, height = map(int, numbers[4:])
        mask = np.zeros_like(inside)
        mask[top : top + height, left : left + width] = np.reshape(
            np.array([*bits[1:]]) == "1", (height, width)
        )
        np.testing.assert_array_equal(mask, inside)
    if size != SIZE[::-1]:
        return
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *_, **__: None)  # names are not drawn
    numbers = (pixels.astype(int) << (16, 8, 0)).sum(2).ravel()
    told = answer(run, folder, "drawn", f"{given}\n{' '.join(map(str, numbers))}".encode()).split()
    colors = np.array(told, np.int32).view(np.uint8).reshape(*SIZE, 4)[:, :, 2::-1]
    np.testing.assert_array_equal(colors, np.asarray(objects.overlay(pixels, found, NAMES, 0.4)))


def test_the_bench_counts_the_cpus_that_it_may_use(run: Run, tmp_path: Path) -> None:
    folders = "\n".join(map(str, systems(tmp_path)))
    found = list(map(int, answer(run, tmp_path, "cpus", folders.encode()).split()))
    assert found == [1] * len(LIMITED) + [len(os.sched_getaffinity(0))] * len(FREE)
