"""The folder of embedded C++: its sample, its build alone and in a program's, its labels, and refusals."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.embedded import (
    Build,
    Embedded,
    Pixels,
    attempt,
    noise,
    onnxruntime_options,
    openvino_options,
    python_logits,
    run,
)
from support.models import CLASSES, Models
from support.readme import CPP, PAGES, commands

from convnext_edge import embed, predict
from convnext_edge.commands.benchmark.result import Benchmark
from convnext_edge.errors import ConvNeXtEdgeError, UsageError

pytestmark = pytest.mark.programs("cmake", "c++")
RUNTIMES = ("openvino", "onnxruntime")


def test_the_sample_classifies_a_picture_and_says_what_is_wrong_with_one(
    embedded: Embedded, built: Callable[[str], Build], pictures: list[Pixels], tmp_path: Path
) -> None:
    sample, folder = built("openvino").sample, embedded("openvino")
    Image.fromarray(pictures[2]).save(tmp_path / "picture.ppm")
    (tmp_path / "picture.rgb").write_bytes(pictures[2].tobytes())
    (tmp_path / "short.ppm").write_bytes(b"P6 91 57 255\n123")
    shown = run(sample, "--top", "3", tmp_path / "picture.ppm", cwd=folder).decode()
    raw = run(sample, "--top", "3", "--size", "91x57", tmp_path / "picture.rgb", cwd=folder).decode()
    assert shown == raw
    logits = python_logits(folder, [pictures[2]])[0]
    assert [int(line.split()[2]) for line in shown.splitlines()] == np.argsort(-logits)[:3].tolist()
    likeliest = np.exp(logits.max()) / np.exp(logits).sum()
    assert float(shown.split()[0]) == pytest.approx(100 * likeliest, abs=0.006)
    short = attempt(sample, tmp_path / "short.ppm", cwd=folder)
    assert (short.returncode, b"ends early" in short.stderr) == (1, True)
    assert attempt(sample, "--top", "0", "x", cwd=folder).returncode == 2
    for size in ("4x4x4", "4", "x4", "4x", "4x4 ", "99999999999x1", "x"):
        done = attempt(sample, "--size", size, tmp_path / "picture.rgb", cwd=folder)
        assert (done.returncode, b"is no size" in done.stderr) == (2, True), size
    many = attempt(sample, "--threads", "100000", tmp_path / "picture.ppm", cwd=folder)
    assert (many.returncode, b"--threads 100000 is more than the" in many.stderr) == (0, True)


def test_the_sample_answers_a_folder_as_predict_does(
    embedded: Embedded, built: Callable[[str], Build], pictures: list[Pixels], tmp_path: Path
) -> None:
    sample, folder = built("openvino").sample, embedded("openvino")
    for name, picture in zip(("b.png", "a.PPM", "c.bmp"), pictures, strict=False):
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "d.ppm").write_bytes(b"P6 3 3 255\n")
    (tmp_path / "notes.txt").write_text("no picture")
    done = attempt(sample, "--json", "--top", "3", tmp_path, cwd=folder)
    assert (done.returncode, b"d.ppm: it ends early" in done.stderr) == (1, True)
    found = json.loads(done.stdout)
    engine = next((folder / "model").glob("*.xml"))
    expected = predict(engine, [tmp_path / name for name in ("a.PPM", "b.png", "c.bmp")], top=3).to_json()
    same = ("target", "task", "predictions")
    assert [found[key] for key in same] == [expected[key] for key in same]
    assert found.keys() <= expected.keys()
    (failed,) = found["failed"]
    assert failed["picture"] == str(tmp_path / "d.ppm")
    (tmp_path / "empty").mkdir()
    empty = attempt(sample, tmp_path / "empty", cwd=folder)
    assert (empty.returncode, b"has no pictures" in empty.stderr) == (1, True)
    camera = attempt(sample, "--camera", tmp_path / "notes.txt", cwd=folder)
    assert (camera.returncode, b"is no camera" in camera.stderr) == (1, True)
    both = attempt(sample, "--camera", "/dev/video0", tmp_path, cwd=folder)
    assert (both.returncode, b"Give one of them" in both.stderr) == (2, True)


def test_bench_prints_the_keys_of_benchmark(
    embedded: Embedded, built: Callable[[str], Build], tmp_path: Path
) -> None:
    Image.fromarray(noise(40, 30)).save(tmp_path / "picture.ppm")
    call = ("--bench", "--runs", "5", "--threads", "1", tmp_path / "picture.ppm")
    found = json.loads(run(built("openvino").sample, *call, cwd=embedded("openvino")))
    assert set(Benchmark.__dataclass_fields__) <= found.keys()
    times = found["candidate_ms"]
    assert 0 < times["min"] <= times["p50"] <= times["p90"] <= times["p99"]
    assert found["throughput_ips"] == pytest.approx(1000 / times["p50"], rel=1e-2)
    assert (found["threads"], found["runs"], found["target"]) == (1, 5, "openvino")


def test_an_engine_that_is_multiplied_in_float_on_its_machine_is_not_called_int8(
    models: Models, tmp_path: Path
) -> None:
    engine = models.engine("openvino", models.quantized())  # in the form for x86-64
    made = embed(engine, lang="cpp", machine="aarch64", output=tmp_path / "app")
    assert (made.machine, made.int8_kernels) == ("aarch64", False)
    assert made.try_command == "", "it does not run here"
    assert made.advice is not None
    assert "--target openvino --for aarch64" in made.advice
    told = (made.directory / "README.md").read_text()
    assert "(FAKE-QUANTIZED, " in told
    assert "--target openvino --for aarch64" in told
    manifest = (made.directory / "model" / "convnext_edge.txt").read_text()
    assert "\nprecision fake-quantized\nmachine aarch64\n" in manifest


@pytest.mark.slow
def test_the_commands_of_the_readme_build_and_the_runtime_is_installed(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in a shell where the environment is active: CMake asks `python` where OpenVINO is
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CMAKE_BUILD_TYPE", "None")  # without an option: compiled in half the time
    monkeypatch.setenv("CCACHE_DEPEND", "1")  # no unit is compiled twice in a run
    engine = models.engine("openvino", models.quantized())
    made = embed(engine, lang="cpp", output=tmp_path / "classifier")
    assert set(made.files) == {f.relative_to(made.directory).as_posix() for f in files(made.directory)}
    Image.fromarray(noise(40, 30)).save(tmp_path / "photo.jpg")
    shown = [
        in_the_shell(command, tmp_path)
        for command in commands(PAGES["applications.md"])
        if command.startswith(CPP)
    ]
    assert len(shown) == 2
    assert (
        in_the_shell(made.try_command.replace("PICTURE", "../photo.jpg --top 3"), made.directory) == shown[-1]
    )
    assert re.fullmatch(r"( *[\d.]+ %  +\d+  .+\n){3}", shown[-1])
    # the folder's own command builds the same, and finds it built
    assert "Building CXX" not in in_the_shell(made.build_command, made.directory)
    run("cmake", "build", "-DCONVNEXT_EDGE_INSTALL_RUNTIME=ON", cwd=made.directory)
    run("cmake", "--install", "build", "--prefix", tmp_path / "device", cwd=made.directory)
    libraries = [f for f in files(tmp_path / "device" / "lib") if ".so" in f.name]
    assert sum(f.stat().st_size for f in libraries if "convnext_edge" not in f.name) < 100e6
    model = tmp_path / "device" / "share" / "convnext_edge" / "model"
    installed = tmp_path / "device" / "bin" / "classify"
    assert run(installed, "--model", model, "--top", "3", tmp_path / "photo.jpg").decode() == shown[-1]


def test_the_printed_line_says_what_to_give_where_nothing_is_found_or_fetched(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare").mkdir()
    for name in ("python", "python3"):
        (tmp_path / "bare" / name).symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bare'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CONVNEXT_EDGE_DOWNLOADS", str(tmp_path / "none"))
    for runtime, option in (("openvino", "-DOpenVINO_DIR=DIR"), ("onnxruntime", "-DONNXRuntime_ROOT=DIR")):
        output = tmp_path / f"my {runtime}"
        made = embed(models.engine(runtime, models.quantized()), lang="cpp", output=output)
        joined = re.sub(r" &&\n +", " && ", made.summary())
        shown = {row[:10].strip(): row[10:].strip() for row in joined.splitlines()}
        assert shown["to build"] == f"cd '{output}' && cmake -S . -B build && cmake --build build"
        assert "first" not in shown
        refused = attempt("sh", "-c", f"{configure_of(shown)} -DCONVNEXT_EDGE_FETCH=OFF", cwd=tmp_path)
        said = " ".join(refused.stderr.decode().split())
        assert refused.returncode == 1
        assert "is not found, and cannot be downloaded: Downloads are switched off." in said
        assert option in said
        assert "-DCONVNEXT_EDGE_DOWNLOADS=FOLDER" in said
        named = attempt(
            "sh",
            "-c",
            configure_of(shown)
            + f" {option.replace('DIR=DIR', 'DIR=/nowhere').replace('ROOT=DIR', 'ROOT=/nowhere')}",
            cwd=tmp_path,
        )
        assert named.returncode == 1
        assert "The folder that is named has no" in " ".join(named.stderr.decode().split())


def configure_of(shown: dict[str, str]) -> str:
    return shown["to build"].removesuffix(" && cmake --build build")


def in_the_shell(command: str, folder: Path) -> str:
    """Standard output of a printed command that must succeed."""
    return run("sh", "-c", command, cwd=folder).decode()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_program_may_take_the_folder_as_a_part_of_its_own_build(
    embedded: Embedded, pytestconfig: pytest.Config, tmp_path: Path, runtime: str
) -> None:
    headers = pytestconfig.cache.mkdir("embed")  # type: ignore[union-attr]
    options = openvino_options() if runtime == "openvino" else onnxruntime_options(headers)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(app LANGUAGES CXX)\n"
        f"add_subdirectory({embedded(runtime)} classifier)\n"
        "add_executable(app main.cpp)\ntarget_link_libraries(app PRIVATE convnext_edge::convnext_edge)\n"
    )
    (tmp_path / "main.cpp").write_text("int main() {}\n")
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", *options)
    links = (tmp_path / "build" / "CMakeFiles" / "app.dir" / "link.txt").read_text()
    assert f"lib{runtime}.so" in links  # the runtime, which only the other folder looked for
    assert not (tmp_path / "build" / "classifier" / "CMakeFiles" / "classify.dir").exists()


def test_labels_are_the_users_where_given_and_must_be_as_many_as_classes(
    models: Models, tmp_path: Path
) -> None:
    engine = models.engine("openvino", models.quantized())
    names = "\n".join(f"class {n}" for n in range(CLASSES))
    (tmp_path / "labels").write_text(names, encoding="utf-8-sig")
    made = embed(engine, lang="cpp", labels=tmp_path / "labels", output=tmp_path / "app")
    assert (made.directory / "model" / "labels.txt").read_text("utf-8").splitlines() == names.splitlines()
    index = {str(n): [f"n{n}", f"class\n{n}"] for n in range(CLASSES)}  # the form of ImageNet's
    (tmp_path / "index.json").write_text(json.dumps(index))
    made = embed(engine, lang="cpp", labels=tmp_path / "index.json", output=tmp_path / "json")
    assert (made.directory / "model" / "labels.txt").read_text("utf-8").splitlines() == names.splitlines()
    (tmp_path / "labels").write_text("one\ntwo")
    with pytest.raises(UsageError, match="has 2 labels, the model has 10 classes"):
        embed(engine, lang="cpp", labels=tmp_path / "labels", output=tmp_path / "other")
    (tmp_path / "labels").write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(UsageError, match="it is not UTF-8: byte 3 is 0xe9"):
        embed(engine, lang="cpp", labels=tmp_path / "labels", output=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_embedded_is_refused(models: Models, tmp_path: Path) -> None:
    refused: dict[str, Callable[[], object]] = {
        "is no engine": lambda: embed(models.quantized(), lang="cpp", output=tmp_path / "app"),
        "exists": lambda: embed(models.engine("openvino", models.quantized()), lang="cpp", output=tmp_path),
        "lang 'cobol' is none of its choices": lambda: embed(models.quantized(), lang="cobol"),
    }
    (tmp_path / "mine").touch()
    for said, call in refused.items():
        with pytest.raises(ConvNeXtEdgeError, match=said):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
