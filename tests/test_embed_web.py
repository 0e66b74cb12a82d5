"""Embedded pages against Python: the same squares in Node, the same answers in Chromium, visible errors."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded import MANIFEST, noise, packed
from embedded_apps import CROPS, DAMAGED_MANIFESTS, FILTERS, SIZES, as_for, with_manifest
from embedded_web import FIXTURES, ISOLATED, Browser, base64_text, served
from needs import NPM, npm_package, program
from numpy.typing import NDArray
from PIL import Image

from convnext_edge import build, embed, export, quantize
from convnext_edge.artifact import open_artifact
from convnext_edge.candidates import open_session
from convnext_edge.errors import ImageSetError, UsageError
from convnext_edge.images import normalize, open_image_set, preprocess
from convnext_edge.images.decoding import decode
from convnext_edge.preprocessing import Preprocessing
from convnext_edge.results import Benchmark

ARTIFACTS = Path(__file__).parents[1] / "build" / "ci-artifacts"
RESOLUTION = 32  # of the demo
# What is tested


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo in INT8, quantized in a hurry: it is Python and browser that are compared here."""
    place = tmp_path_factory.mktemp("engine")
    (place / "fast.toml").write_text('rounding = "nearest"\nrange = "minmax"\n')
    exported = export("demo", workspace=place).artifact
    model = quantize(
        exported,
        calib="demo",
        samples=16,
        target="onnxruntime",
        recipe=place / "fast.toml",
        workspace=place,
    )
    return build(model.artifact, workspace=place).engine


@pytest.fixture(scope="module")
def folder(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = npm_package("onnxruntime-web")
    output = tmp_path_factory.mktemp("embedded") / "page"
    return embed(engine, lang="web", runtime=package, output=output).directory


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """50 of the demo's photographs: a third as they come (JPEG), the others larger, as JPEG or PNG."""
    place = tmp_path_factory.mktemp("pictures")
    found = open_image_set("demo", split="evaluation").subset(50, seed=0)
    made = []
    for number, entry in enumerate(found.entries):
        data = found.contents.read(entry.name)
        path = place / f"{number}{Path(entry.name).suffix}"
        if number % 3 == 0:
            path.write_bytes(data)
        else:
            path = path.with_suffix(".jpg" if number % 3 == 1 else ".png")
            decode(data).resize((131, 97), Image.Resampling.BICUBIC).save(path)
        made.append(path)
    return made


def node(folder: Path, mode: str, *options: object, given: bytes = b"") -> bytes:
    done = try_node(folder, mode, *options, given=given)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def try_node(
    folder: Path, mode: str, *options: object, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [program("node"), FIXTURES / "library.js", folder, mode, *map(str, options)]
    return subprocess.run(command, input=given, capture_output=True, check=False)


def python_logits(folder: Path, images: list[Image.Image]) -> NDArray[np.float32]:
    """(N, classes) of the engine in `folder`, one image a call."""
    (sidecar,) = (folder / "model").glob("*.json")
    artifact = open_artifact(sidecar.with_suffix(""))
    prepared = artifact.description.preprocessing
    squares = [preprocess(image, prepared).transpose(2, 0, 1)[None] for image in images]
    with open_session(artifact, "onnxruntime") as session:
        return np.concatenate([session.run(normalize(square, prepared)) for square in squares])


def changed(folder: Path, place: Path, **values: object) -> Path:
    """A folder without the page in which keys of the manifest have other values."""
    with_manifest(folder / "model", place / "model", **values)
    shutil.copytree(folder / "library", place / "library")
    return place


# The same pixels


@pytest.mark.parametrize("filtered", FILTERS)
def test_squares_are_those_of_pillow_bit_by_bit(folder: Path, tmp_path: Path, filtered: str) -> None:
    images = [noise(width, height) for width, height in SIZES]
    for crop in CROPS:
        copy = changed(folder, tmp_path / str(crop), crop=crop, interpolation=filtered)
        found = np.frombuffer(node(copy, "squares", given=packed(images)), np.uint8)
        squares = found.reshape(len(SIZES), RESOLUTION, RESOLUTION, 3)
        prepared = Preprocessing(RESOLUTION, crop, filtered)
        for image, square in zip(images, squares, strict=True):
            expected = preprocess(Image.fromarray(image), prepared)
            np.testing.assert_array_equal(square, expected, f"{image.shape} {crop}")


def test_inputs_of_the_engine_are_those_of_python_bit_by_bit(folder: Path, tmp_path: Path) -> None:
    image = noise(60, 47)
    prepared = open_artifact(next((folder / "model").glob("*.onnx"))).description.preprocessing
    square = preprocess(Image.fromarray(image), prepared).transpose(2, 0, 1)[None]
    floats = np.frombuffer(node(folder, "planes", given=packed([image])), np.float32)
    np.testing.assert_array_equal(floats, normalize(square, prepared).ravel())
    raw = changed(folder, tmp_path, input="uint8")
    np.testing.assert_array_equal(
        np.frombuffer(node(raw, "planes", given=packed([image])), np.uint8), square.ravel()
    )


def test_images_that_cannot_be_resized_are_refused_in_the_words_of_python(
    folder: Path, tmp_path: Path
) -> None:
    long = noise(1, 200_000)
    done = try_node(changed(folder, tmp_path, crop=0.875), "squares", given=packed([long]))
    with pytest.raises(ImageSetError) as refused:
        preprocess(Image.fromarray(long), Preprocessing(RESOLUTION, 0.875))
    assert (done.returncode, done.stderr.decode()) == (1, f"ImageError: {refused.value.message}\n")


def test_digests_are_sha256(folder: Path) -> None:
    data = np.random.default_rng(0).bytes(300_000)
    lengths = [*range(140), 1000, 65_536, 300_000]
    found = node(folder, "digests", *lengths, given=data).decode().split()
    assert found == [hashlib.sha256(data[:length]).hexdigest() for length in lengths]


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
KINDS = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8)), 4: (2, (8, 16)), 6: (4, (8, 16))}
PNGS = [
    (colour, depth, interlaced)
    for colour, (_, depths) in KINDS.items()
    for depth in depths
    for interlaced in (0, 1)
]


def png(colour: int, depth: int, interlaced: int, width: int = 13, height: int = 11) -> bytes:
    """Noise as a PNG of any kind, with any filter: the bytes behind it mean nothing anyway."""
    generator = np.random.default_rng(100 * colour + depth)
    channels = KINDS[colour][0]
    raw = b""
    for x, y, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        for _ in range(rows if columns > 0 else 0):
            filtered = bytes([int(generator.integers(5))])
            raw += filtered + generator.bytes(-(-columns * channels * depth // 8))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", header), (b"gAMA", struct.pack(">I", 100_000))]
    if colour == 3:
        chunks += [(b"PLTE", generator.bytes(3 * 2**depth)), (b"tRNS", generator.bytes(2**depth // 2))]
    packed_pixels = zlib.compress(raw)
    chunks += [(b"IDAT", packed_pixels[:50]), (b"IDAT", packed_pixels[50:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(("colour", "depth", "interlaced"), PNGS)
def test_png_files_of_every_kind_are_opened_as_by_pillow(
    folder: Path, colour: int, depth: int, interlaced: int
) -> None:
    data = png(colour, depth, interlaced)
    found = node(folder, "png", given=data)
    width, height = struct.unpack("II", found[:8])
    pixels = np.frombuffer(found[8:], np.uint8).reshape(height, width, 4)
    np.testing.assert_array_equal(pixels[..., :3], np.asarray(decode(data)))
    if colour in (4, 6):
        np.testing.assert_array_equal(pixels[..., 3], np.asarray(Image.open(io.BytesIO(data)))[..., -1])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-20], "ends within"),
        (lambda data: data[:20], "ends within IHDR"),
        (lambda data: data[:33], "has no end"),
        (lambda data: data.replace(b"IHDR\0\0\0\x0d", b"IHDR\0\0\0\0"), "values out of range"),
        (lambda data: data.replace(b"IHDR\0\0\0\x0d", b"IHDR\x7f\0\0\0"), "more than 89478485 in all"),
        (lambda data: data.replace(b"IHDR\0\0\0\x0d", b"IHDR\0\0\0\x0e"), "bytes of pixels in place of"),
        (lambda data: data.replace(b"IDAT\x78", b"IDAT\x79"), "cannot be decompressed"),
        (lambda data: data.replace(b"PLTE", b"plte"), "has no palette"),
    ],
    ids=["cut", "in-header", "headers-only", "no-width", "vast", "too-wide", "garbled", "no-palette"],
)
def test_damaged_png_files_are_refused(folder: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    data = png(3, 8, 0)
    assert damage(data) != data
    done = try_node(folder, "png", given=damage(data))
    assert done.returncode == 1
    assert done.stderr.decode().startswith("ImageError: ")
    assert said in done.stderr.decode()


def test_the_exif_orientation_is_found(folder: Path) -> None:
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = io.BytesIO()
        Image.fromarray(noise(9, 5)).save(data, "JPEG", exif=exif)
        assert node(folder, "orientation", given=data.getvalue()) == str(orientation).encode()
    assert node(folder, "orientation", given=png(2, 8, 0)) == b"1"


@pytest.mark.parametrize(("values", "said"), DAMAGED_MANIFESTS, ids=str)
def test_a_damaged_manifest_is_refused(
    folder: Path, tmp_path: Path, values: dict[str, str], said: str
) -> None:
    manifest = changed(folder, tmp_path, **values) / "model" / MANIFEST
    done = try_node(folder, "manifest", given=manifest.read_bytes())
    assert (done.returncode, said in done.stderr.decode()) == (1, True), done.stderr


# The page, in Chromium


def page_of(folder: Path) -> str:
    return (folder / "index.html").as_uri()


def test_the_answers_are_those_of_python_on_a_page_opened_from_disk(
    folder: Path, browser: Browser, pictures: list[Path]
) -> None:
    logits = python_logits(folder, [decode(path.read_bytes()) for path in pictures])
    opened = browser("open", page_of(folder))
    assert (opened["status"], opened["error"]) == ("Ready.", "")
    found = [browser("choose", path) for path in pictures]
    assert [shown["classes"][0] for shown in found] == logits.argmax(1).tolist()
    labels = (folder / "model" / "labels.txt").read_text().splitlines()
    assert [shown["labels"][0] for shown in found] == [labels[index] for index in logits.argmax(1)]
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    browser("screenshot", ARTIFACTS / "embedded-page.png")
    complaints = browser("log")
    assert complaints["complaints"] == []
    assert {url.split(":")[0] for url in complaints["requests"]} == {"file", "blob"}


LOGITS = """
convnextEdge.load().then(async (classifier) => {
  const answers = [];
  for (const text of %s) {
    const blob = new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]);
    const square = classifier.prepare(await convnextEdge.decode(blob));
    answers.push({ square: [...square], logits: [...(await classifier.infer(square))] });
  }
  return answers;
})
"""


def test_a_server_without_special_headers_is_enough_and_png_files_keep_their_pixels(
    folder: Path, browser: Browser, pictures: list[Path]
) -> None:
    files = [path.read_bytes() for path in pictures if path.suffix == ".png"]
    files += [png(6, 8, 1, 50, 40), png(3, 8, 0, 40, 50)]  # with transparent pixels
    images = [decode(data) for data in files]
    with served(folder) as url:
        assert browser("open", url)["runtime"].startswith("ONNX Runtime Web 1.30.0, 1 thread ")
        found = browser.evaluate(LOGITS % json.dumps([base64_text(data) for data in files]))
        log = browser("log")
    prepared = open_artifact(next((folder / "model").glob("*.onnx"))).description.preprocessing
    for image, answer in zip(images, found, strict=True):
        np.testing.assert_array_equal(answer["square"], preprocess(image, prepared).ravel())
    logits, expected = np.array([answer["logits"] for answer in found]), python_logits(folder, images)
    assert (logits.argmax(1) == expected.argmax(1)).all()
    # the head adds up in float, each build in its own order; in a few images a value lies on the border
    # between two of its 256 levels
    assert np.isclose(logits, expected, rtol=0, atol=1e-5).all(1).mean() > 0.5
    assert 10 * np.log10((expected**2).sum() / ((logits - expected) ** 2).sum()) > 35
    assert log["complaints"] == []
    assert all(request.startswith((url, f"blob:{url}")) for request in log["requests"])
    assert not any("/offline/" in request for request in log["requests"])


def test_an_isolated_page_may_use_threads(folder: Path, browser: Browser, pictures: list[Path]) -> None:
    expected = python_logits(folder, [decode(pictures[0].read_bytes())]).argmax()
    with served(folder, ISOLATED) as url:
        assert ", 2 threads " in browser("open", f"{url}?threads=2")["runtime"]
        assert browser("choose", pictures[0])["classes"][0] == expected
        assert browser("log")["complaints"] == []


def test_jpeg_files_are_taken_as_stored_and_a_turned_one_is_remarked_on(
    folder: Path, browser: Browser, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(noise(20, 12)).resize((300, 180), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "turned.jpg", exif=exif, icc_profile=b"no profile at all", quality=95)
    browser("open", page_of(folder))
    shown = browser("choose", tmp_path / "turned.jpg")
    assert "stored this picture turned" in shown["remarks"]
    image = decode((tmp_path / "turned.jpg").read_bytes())
    assert shown["classes"][0] == python_logits(folder, [image]).argmax()
    (answer,) = browser.evaluate(LOGITS % json.dumps([base64_text((tmp_path / "turned.jpg").read_bytes())]))
    prepared = open_artifact(next((folder / "model").glob("*.onnx"))).description.preprocessing
    differences = np.abs(np.array(answer["square"]) - preprocess(image, prepared).ravel().astype(int))
    assert differences.max() <= 3


def test_what_is_no_picture_is_said_on_the_page_which_goes_on(
    folder: Path, browser: Browser, pictures: list[Path], tmp_path: Path
) -> None:
    browser("open", page_of(folder))
    for name, data, said in (
        ("notes.txt", b"no picture", "notes.txt: it is no picture that this browser can open. Take a PNG"),
        ("empty.png", b"", "empty.png: the file is empty. Take another picture."),
        (
            "cut.png",
            png(2, 8, 0)[:-30],
            "cut.png: the PNG is damaged: it ends within IDAT. Take another copy",
        ),
        ("cut.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", "cut.jpg: it is no picture that this browser can open."),
    ):
        (tmp_path / name).write_bytes(data)
        shown = browser("choose", tmp_path / name)
        assert (said in shown["error"], shown["classes"]) == (True, ""), shown
    browser("screenshot", ARTIFACTS / "embedded-page-error.png")
    shown = browser("choose", pictures[0])
    assert (shown["error"], len(shown["classes"])) == ("", 5)
    assert browser("log")["complaints"] == []


def test_a_picture_may_be_dropped_and_more_than_one_only_counts_last(
    folder: Path, browser: Browser, pictures: list[Path]
) -> None:
    browser("open", page_of(folder))
    first = [pictures[0].name, base64_text(pictures[0].read_bytes())]
    assert browser("drop", first)["classes"] == browser("choose", pictures[0])["classes"]
    assert "that was no file" in browser("drop")["error"]


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "model": (
        lambda copy: next((copy / "model").glob("*.onnx")).write_bytes(b"other"),
        r"demo-int8-onnxruntime\.opt\.onnx does not match its sidecar: "
        r"sha256 \w{12}… instead of \w{12}…\. The file",
    ),
    "labels": (
        lambda copy: (copy / "model" / "labels.txt").write_text("one\n"),
        r"labels\.txt does not match its sidecar",
    ),
    "manifest": (
        lambda copy: (copy / "model" / MANIFEST).unlink(),
        r"model/convnext_edge\.txt cannot be fetched: the server says 404 File not found\. Serve the folder",
    ),
    "runtime": (
        lambda copy: (copy / "runtime" / "ort.wasm.min.js").unlink(),
        r"runtime/ort\.wasm\.min\.js is not loaded",
    ),
    "program": (
        lambda copy: (copy / "runtime" / "ort-wasm-simd-threaded.wasm").write_bytes(b"no program"),
        r"ONNX Runtime 1\.30\.0 refuses demo-int8-onnxruntime\.opt\.onnx",
    ),
}


@pytest.mark.parametrize("part", DAMAGE)
def test_a_damaged_folder_is_said_on_the_page(
    folder: Path, browser: Browser, tmp_path: Path, part: str
) -> None:
    damage, said = DAMAGE[part]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy)
    with served(copy) as url:
        shown = browser("open", url)
    assert re.search(f"^The model cannot be loaded: {said}", shown["error"]), shown
    assert browser.evaluate("document.getElementById('file').disabled")


def test_a_damaged_folder_is_said_on_a_page_opened_from_disk(
    folder: Path, browser: Browser, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    script = copy / "offline" / "model.js"
    text = script.read_text()
    script.write_text(text.replace("labels.txt", "others.txt"))
    assert "offline/model.js does not hold model/labels.txt" in browser("open", page_of(copy))["error"]
    script.unlink()
    assert (
        "offline/model.js cannot be loaded. Take the folder over" in browser("open", page_of(copy))["error"]
    )


def test_threads_that_the_page_may_not_use_are_refused(folder: Path, browser: Browser) -> None:
    error = browser("open", f"{page_of(folder)}?threads=2")["error"]
    assert "2 threads need a page that is isolated from others. Serve it with Cross-Origin" in error
    assert "threads 0 is no whole number" in browser("open", f"{page_of(folder)}?threads=0")["error"]


def test_bench_shows_the_keys_of_benchmark(folder: Path, browser: Browser) -> None:
    shown = browser("open", f"{page_of(folder)}?bench&runs=5")
    found = json.loads(shown["measured"])
    assert set(Benchmark.__dataclass_fields__) <= found.keys()
    times = found["candidate_ms"]
    assert 0 < times["min"] <= times["p50"] <= times["p90"] <= times["p99"]
    assert found["throughput_ips"] == pytest.approx(1000 / times["p50"], rel=1e-2)
    assert (found["batch"], found["threads"], found["runs"], found["target"]) == (1, 1, 5, "onnxruntime")
    assert (found["runtime_version"], found["reference_ms"]) == ("onnxruntime-web 1.30.0", None)
    assert found["first_answer_ms"] > 0
    assert found["load_ms"] > 0
    assert "runs 0 is no whole number" in browser("open", f"{page_of(folder)}?bench&runs=0")["error"]


def test_the_keyboard_is_enough(folder: Path, browser: Browser, pictures: list[Path]) -> None:
    browser("open", f"{page_of(folder)}?runs=2")
    assert browser("press", "Tab")["focus"] == "file"
    assert len(browser("choose_by_keyboard", pictures[0], "Enter")["classes"]) == 5
    browser("press", "Tab", "Enter")  # opens the part on latency
    browser("press", "Tab")
    assert browser("press", "Tab")["focus"] == "measure"
    assert json.loads(browser("press", "Enter")["measured"])["runs"] == 2


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(
    folder: Path, browser: Browser, pictures: list[Path], tmp_path: Path, colors: str
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    axe = (npm_package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    browser("open", f"{page_of(folder)}?bench&runs=2", colors)
    for file in (pictures[0], tmp_path / "notes.txt"):
        browser("choose", file)
        browser("screenshot", ARTIFACTS / f"embedded-page-{colors}-{file.stem}.png")
        result: dict[str, Any] = browser.evaluate(f"{axe}; axe.run()")
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in result["violations"]] == []
        assert len(result["passes"]) > 10


# The command


def test_the_files_are_listed_and_come_with_the_licence_of_the_runtime(folder: Path, engine: Path) -> None:
    made = embed(engine, lang="web", runtime=npm_package("onnxruntime-web"), output=folder.parent / "again")
    found = {
        path.relative_to(made.directory).as_posix() for path in made.directory.rglob("*") if path.is_file()
    }
    assert set(made.files) == found
    assert "Copyright (c) Microsoft Corporation" in (made.directory / "runtime" / "LICENSE").read_text()
    for name in made.files:
        assert (made.directory / name).read_bytes() == (folder / name).read_bytes(), name
    scripts = re.findall(r'<script src="([^"]+)"', (folder / "index.html").read_text())
    assert set(scripts) <= found


def test_the_runtime_is_taken_from_the_nearest_node_modules(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"npm install onnxruntime-web@1\.30\.0"):
        embed(engine, lang="web", output=tmp_path / "page")
    assert not (tmp_path / "page").exists()
    place = tmp_path / "node_modules" / "onnxruntime-web"
    stand_in(place)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    made = embed(engine, lang="web", output=tmp_path / "page").directory
    assert (made / "runtime" / "ort.wasm.min.js").read_text() == "ort.wasm.min.js"
    assert "ONNX Runtime Web 9.8.7" in (made / "README.md").read_text()


def stand_in(place: Path, name: str = "onnxruntime-web") -> None:
    """What `embed` looks at of the npm package."""
    (place / "dist").mkdir(parents=True)
    (place / "package.json").write_text(json.dumps({"name": name, "version": "9.8.7"}))
    for file in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (place / "dist" / file).write_text(file)


def test_a_folder_that_is_not_the_runtime_is_refused(engine: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "other", "onnxruntime-node")
    stand_in(tmp_path / "old")
    (tmp_path / "old" / "dist" / "ort.wasm.min.js").unlink()
    for name, said in (
        ("none", "is no npm package"),
        ("other", "is the npm package onnxruntime-node"),
        ("old", r"onnxruntime-web 9\.8\.7 in .*old has no dist/ort\.wasm\.min\.js"),
    ):
        with pytest.raises(UsageError, match=said):
            embed(engine, lang="web", runtime=tmp_path / name, output=tmp_path / "page")


def test_what_no_browser_can_use_is_refused(engine: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "runtime")
    openvino = as_for("openvino", engine, tmp_path)
    with pytest.raises(UsageError, match="an engine for openvino, which runs in no browser"):
        embed(openvino, lang="web", runtime=tmp_path / "runtime", output=tmp_path / "page")
    with pytest.raises(UsageError, match="--runtime means nothing with --lang cpp"):
        embed(engine, lang="cpp", runtime=tmp_path / "runtime", output=tmp_path / "page")


def test_the_browsers_packages_are_those_that_were_tested() -> None:
    from convnext_edge.stages.embed.web import TESTED

    wanted = json.loads((FIXTURES.parent / "npm" / "package.json").read_text())["dependencies"]
    assert wanted["onnxruntime-web"] == TESTED
    if NPM.is_dir():
        found = json.loads((NPM / "onnxruntime-web" / "package.json").read_text())["version"]
        assert found == TESTED
