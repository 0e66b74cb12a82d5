"""What the build of embedded C++ downloads: pins in step, and how CMake gets and checks an archive."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from support.embedded import attempt, embed_small, run
from support.models import Models
from support.places import ROOT

from convnext_edge import embed
from convnext_edge.commands.embed import cpp
from convnext_edge.commands.embed.archives import PINS, numbers, read_pins
from convnext_edge.commands.embed.cpp import SOURCES
from convnext_edge.cpu import Machine
from convnext_edge.errors import UsageError

PINNED = json.loads(PINS.read_text(encoding="utf-8"))
# A project that fetches one archive, and shows what of it there is
PROJECT = """\
cmake_minimum_required(VERSION 3.20)
project(fetching LANGUAGES NONE)
include(cmake/fetch_archive.cmake)
convnext_edge_fetch_archive(stb any folder)
if(folder)
  file(GLOB found RELATIVE "${folder}" "${folder}/*")
endif()
message(STATUS "found:${found} why:${folder_why};")
"""


def test_the_pinned_runtimes_are_those_that_the_tests_run_with() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name, pin in read_pins().items():
        assert f"\n{name}=={pin.version}\n" in constraints, "new SHA-256 belong into archives.json"
        assert set(pin.bytes) == set(pin.glibc) == {"x86-64", "aarch64"}
    assert len(read_pins()) == 2


def test_each_archive_has_its_name_its_machine_and_its_glibc_in_its_url() -> None:
    for name, pin in PINNED.items():
        for machine, archive in pin["archives"].items():
            assert all(
                url.startswith("https://") and url.endswith(archive["file"]) for url in archive["urls"]
            )
            if name in ("openvino", "onnxruntime"):  # wheels, whose tags say what they run on
                major, minor = archive["glibc"].split(".")
                tag = f"manylinux_{major}_{minor}_{machine.replace('-', '_')}.whl"
                assert archive["file"].startswith(f"{name}-{pin['version']}-")
                assert archive["file"].endswith(tag)


@pytest.mark.parametrize(
    ("version", "reads"),
    [("2026.4.1", True), ("2026.3.0", True), ("2025.4", True), ("2026.4.2", False), ("unknown", False)],
)
def test_an_engine_of_an_older_runtime_is_read_and_one_of_a_newer_is_not(version: str, reads: bool) -> None:
    assert read_pins()["openvino"].version == "2026.4.1"
    assert read_pins()["openvino"].reads(version) == reads
    assert numbers("2026.4.1-22982-abc") == (2026, 4, 1)


@pytest.mark.slow
@pytest.mark.programs("cmake")
def test_an_archive_is_taken_from_the_first_place_that_has_the_right_one(tmp_path: Path) -> None:
    kept = tmp_path / "downloads"
    good, wrong = archived(tmp_path / "good.tar.gz", b"good"), archived(tmp_path / "wrong.tar.gz", b"wrong")
    project = written(tmp_path / "project", [tmp_path / "absent", wrong, good], good)
    options = (f"-DCONVNEXT_EDGE_DOWNLOADS={kept}",)
    assert "found:a.h why:;" in configured(project, *options)
    assert [path.name for path in kept.iterdir()] == ["stb.tar.gz"]
    shutil.rmtree(project / "build")
    good.unlink()
    assert "found:a.h why:;" in configured(
        project, *options, "-DCONVNEXT_EDGE_FETCH=OFF"
    )  # nothing is asked for again


@pytest.mark.slow
@pytest.mark.programs("cmake")
def test_an_archive_that_is_not_what_was_pinned_is_refused(tmp_path: Path) -> None:
    good, wrong = archived(tmp_path / "good.tar.gz", b"good"), archived(tmp_path / "wrong.tar.gz", b"wrong")
    project = written(tmp_path / "project", [wrong], good)
    (project / "build" / "_deps" / "downloads").mkdir(parents=True)
    shutil.copy(wrong, project / "build" / "_deps" / "downloads" / "stb.tar.gz")  # from elsewhere
    said = configured(project)
    assert f"its SHA-256 is {sha256(wrong.read_bytes()).hexdigest()}, not " in said
    assert "found: why:" in said
    assert "stb.tar.gz has another SHA-256. " in said
    assert "-DCONVNEXT_EDGE_DOWNLOADS=FOLDER" in said


def archived(path: Path, content: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("only/a.h")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


def written(project: Path, places: list[Path], right: Path) -> Path:
    """A project with the CMake files of ours and other pins."""
    shutil.copytree(SOURCES / "cmake", project / "cmake")
    (project / "CMakeLists.txt").write_text(PROJECT)
    digest = sha256(right.read_bytes()).hexdigest()
    archive = {"file": "stb.tar.gz", "urls": [f"file://{place}" for place in places], "sha256": digest}
    pins = {"stb": {"archives": {"any": archive}}}
    (project / "cmake" / "archives.json").write_text(json.dumps(pins, indent=1))
    return project


def configured(project: Path, *options: str) -> str:
    return run("cmake", "-S", project, "-B", project / "build", *options).decode()


def test_an_engine_of_a_newer_runtime_says_what_to_give(models: Models, tmp_path: Path) -> None:
    folder = embed_small(models, tmp_path / "app", "openvino")
    manifest = folder / "model" / "convnext_edge.txt"
    text = manifest.read_text()
    manifest.write_text(re.sub(r"(?m)^runtime_version .*", "runtime_version 2099.1.0", text))
    done = attempt("cmake", "-S", folder, "-B", tmp_path / "build")
    said = " ".join(done.stderr.decode().split())
    assert done.returncode == 1
    assert "the engine was built with 2099.1.0, which 2026.4.1, the version known here, may not read" in said
    assert "-DOpenVINO_DIR=DIR" in said


def test_for_is_refused_where_there_is_no_choice(models: Models, tmp_path: Path) -> None:
    engine = models.engine("onnxruntime", models.quantized("onnxruntime"))
    with pytest.raises(UsageError, match="--for means nothing with --lang web"):
        embed(engine, lang="web", machine="aarch64", output=tmp_path / "app")
    with pytest.raises(UsageError, match="--for x86-64 means nothing with --lang ios: phones are aarch64"):
        embed(engine, lang="ios", machine="x86-64", output=tmp_path / "app")
    made = embed(engine, lang="ios", output=tmp_path / "app")
    assert (made.machine, made.int8_kernels, made.advice) == ("aarch64", True, None)


@pytest.mark.parametrize(
    ("host", "machine", "toolchain"),
    [
        ("aarch64", "aarch64", None),
        ("aarch64", "x86-64", "cmake/x86_64-linux-gnu.cmake"),
        ("x86-64", "aarch64", "cmake/aarch64-linux-gnu.cmake"),
        (None, None, None),
    ],
)
def test_a_folder_is_cross_compiled_where_it_is_for_another_machine(
    monkeypatch: pytest.MonkeyPatch, host: Machine | None, machine: Machine | None, toolchain: str | None
) -> None:
    monkeypatch.setattr(cpp, "this_machine", lambda: host)
    guide = cpp.guide_to("openvino", "2026.4.1", machine)
    assert guide.build.startswith("cmake -S . -B build")
    assert guide.build.endswith(" && cmake --build build")
    assert re.findall(r"-DCMAKE_TOOLCHAIN_FILE=(\S+)", guide.build) == ([toolchain] if toolchain else [])
    assert toolchain is None or (SOURCES / toolchain).is_file()
    assert "OpenVINO 2026.4.1 (30 MB)" in guide.obtain or machine != "aarch64"
    newer = cpp.guide_to("openvino", "2026.5.0", machine)
    assert newer.needs.startswith("give CMake OpenVINO 2026.5.0 as -DOpenVINO_DIR=DIR: ")
