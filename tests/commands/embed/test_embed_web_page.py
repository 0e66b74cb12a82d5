"""Embedded pages in Chromium: the answers of Python, visible errors, and a page that all can use."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.embedded import MANIFEST, noise
from support.embedded_web import ISOLATED, Browser, base64_text, hasty_engine, page_folder, png, served
from support.golden import engine_of, golden_case, golden_files
from support.needs import npm_package
from support.places import ROOT

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.benchmark.result import Benchmark
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.evaluation.conformance import deviation
from convnext_edge.images.decoding import decode
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.transform import normalize, preprocess

pytestmark = pytest.mark.slow(seconds=30)

ARTIFACTS = ROOT / "build" / "ci-artifacts"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_folder(hasty_engine(tmp_path_factory.getbasetemp()), tmp_path_factory)


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


def python_logits(folder: Path, images: list[Image.Image]) -> NDArray[np.float32]:
    """(N, classes) of the engine in `folder`, one image a call."""
    (sidecar,) = (folder / "model").glob("*.json")
    artifact = open_artifact(sidecar.with_suffix(""))
    prepared = artifact.description.preprocessing
    squares = [preprocess(image, prepared).transpose(2, 0, 1)[None] for image in images]
    with open_session(artifact, "onnxruntime") as session:
        return np.concatenate([session.run(normalize(square, prepared)) for square in squares])


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


def test_a_golden_engine_answers_as_everywhere(
    browser: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case = golden_case("int8-onnxruntime")
    page = page_folder(engine_of(case, "onnxruntime", tmp_path), tmp_path_factory)
    files = [base64_text(data) for data in golden_files(case)]
    browser("open", page_of(page))
    answers = browser.evaluate(LOGITS % json.dumps(files))
    found = deviation(case, np.array([answer["logits"] for answer in answers], np.float32))
    assert found.passed, found


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
        r"demo-int8-recipe-\w+-onnxruntime\.opt\.onnx does not match its sidecar: "
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
        r"ONNX Runtime 1\.30\.0 refuses demo-int8-recipe-\w+-onnxruntime\.opt\.onnx",
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
