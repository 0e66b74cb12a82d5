"""Embedded C++ on ExecuTorch: the answers of Python; built with sanitizers, and for ARM64 under QEMU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.embedded import (
    MANIFEST,
    SIZES,
    Build,
    attempt,
    build,
    embed_small,
    noise,
    photographs,
    python_logits,
    python_outputs,
    run,
    sanitized,
)
from support.emulated import TOOLS, build_arm64
from support.models import CHECKPOINT, CHECKPOINT_V2, CLASSES, RESOLUTION, Models

import convnext_edge
from convnext_edge import embed, export
from convnext_edge.artifacts.digests import sha256
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import ArtifactError
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.tasks import Task

NAME = "executorch"
# The `cmake` of its environment is newer than that of many systems.
pytestmark = [pytest.mark.executorch, pytest.mark.programs("c++")]

Embedded = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def programs_of_the_environment() -> Iterator[None]:
    """As in a shell where it is active: its `cmake` is new enough, its `python` knows where ExecuTorch is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module")
def embedded(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    """The folder of a small model: INT8 that takes floats or bytes, FP32, or a V2 in INT8."""

    def of(kind: str) -> Path:
        output = tmp_path_factory.mktemp("embedded") / "app"
        if kind in ("float32", "uint8"):
            return embed_small(models, output, NAME, kind)
        model = models.exported() if kind == "fp32" else models.quantized(NAME, checkpoint=CHECKPOINT_V2)
        return embed(models.engine(NAME, model), lang="cpp", output=output).directory

    return cache(of)


@pytest.fixture(scope="module")
def built(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Build:
    place = tmp_path_factory.mktemp("build")
    return build(embedded("float32"), place, [], [*sanitized(place), f"-Dexecutorch_DIR={package()}"])


def package() -> Path:
    """The folder of ExecuTorch's CMake files."""
    spec = util.find_spec("executorch.version")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "lib" / "cmake" / "executorch"


# The same answers


@pytest.mark.parametrize("kind", ["float32", "uint8", "fp32", "v2"])
def test_the_logits_are_those_of_python_bit_by_bit(embedded: Embedded, built: Build, kind: str) -> None:
    folder, pictures = embedded(kind), photographs(60)
    found = np.frombuffer(built.answer(folder / "model", "logits", pictures), np.float32)
    np.testing.assert_array_equal(found.reshape(len(pictures), CLASSES), python_logits(folder, pictures))


@pytest.mark.parametrize("task", ["embed", "features"])
def test_all_outputs_of_other_tasks_are_those_of_python_bit_by_bit(
    built: Build, tmp_path: Path, task: Task
) -> None:
    model = export(
        checkpoint=CHECKPOINT,
        task=task,
        with_map=task == "embed",
        resolution=(RESOLUTION, RESOLUTION + 32),
        workspace=tmp_path,
    ).artifact
    engine = convnext_edge.build(model, target=NAME, workspace=tmp_path).engine
    folder = embed(engine, lang="cpp", output=tmp_path / "app").directory
    images = [noise(*size) for size in SIZES]
    found = np.frombuffer(built.answer(folder / "model", "outputs", images), np.float32)
    expected = [output.ravel() for outputs in python_outputs(folder, images) for output in outputs]
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_eight_threads_at_once_agree(embedded: Embedded, built: Build) -> None:
    model, some = embedded("float32") / "model", photographs(12)
    assert built.lines(model, "threads", some) == built.lines(model, "answers", some)


def test_models_of_a_process_share_one_pool_and_another_size_of_it_is_refused(
    embedded: Embedded, built: Build
) -> None:
    model, (picture,) = embedded("float32") / "model", photographs(1)
    alone, shared, other, first = built.answer(model, "pools", [picture], threads=2).decode().splitlines()
    assert alone == shared == first == built.lines(model, "answers", [picture])[0]
    assert other == (
        "Error: threads 3 is not 2, the size of the pool that all models of a process share in ExecuTorch"
        "|Give all the same number, or 1, or destroy the others first."
    )


def test_a_workspace_outlives_its_classifier(embedded: Embedded, built: Build) -> None:
    lines = built.lines(embedded("float32") / "model", "abuse")
    assert lines[-2] == lines[-1] != ""


# Errors


def test_an_engine_that_the_runtime_refuses_is_an_error(
    embedded: Embedded, built: Build, tmp_path: Path
) -> None:
    model = shutil.copytree(embedded("float32") / "model", tmp_path / "model")
    (engine,) = model.glob("*.pte")
    manifest, digest = (model / MANIFEST).read_text(), sha256(engine)
    engine.write_bytes(b"no engine" * 100)
    (model / MANIFEST).write_text(manifest.replace(digest, sha256(engine)))
    done = attempt(built.harness, model, "answers")
    assert done.returncode == 1
    assert re.search(f"ExecuTorch refuses {engine}: Error::Invalid", done.stderr.decode())
    assert "build and embed it again" in done.stderr.decode()


def test_an_engine_that_is_not_what_the_manifest_says_is_refused(
    embedded: Embedded, built: Build, tmp_path: Path
) -> None:
    model = shutil.copytree(embedded("float32") / "model", tmp_path / "model")
    manifest = (model / MANIFEST).read_text()
    for said in ("resolution 32", "input uint8"):
        key = said.split()[0]
        (model / MANIFEST).write_text(re.sub(f"^{key} .*$", said, manifest, flags=re.MULTILINE))
        done = attempt(built.harness, model, "answers")
        assert (done.returncode, b"its input or output is not what the" in done.stderr) == (1, True), said


def test_a_damaged_engine_is_refused_in_the_words_of_python(
    embedded: Embedded, built: Build, tmp_path: Path
) -> None:
    model = shutil.copytree(embedded("float32") / "model", tmp_path / "model")
    (engine,) = model.glob("*.pte")
    engine.write_bytes(engine.read_bytes() + b" ")
    done = attempt(built.harness, model, "answers")
    with pytest.raises(ArtifactError) as refused:
        open_artifact(engine)
    assert (done.returncode, done.stderr.decode()) == (1, str(refused.value))


# The build


def test_the_build_command_works_as_it_is_printed_and_installs_the_runtime(
    models: Models, tmp_path: Path
) -> None:
    made = embed(models.engine(NAME, models.quantized(NAME)), lang="cpp", output=tmp_path / "app")
    subprocess.run(made.build_command, shell=True, cwd=made.directory, check=True, capture_output=True)
    run("cmake", "build", "-DCONVNEXT_EDGE_INSTALL_RUNTIME=ON", cwd=made.directory)
    device = tmp_path / "device"
    run("cmake", "--install", "build", "--prefix", device, cwd=made.directory)
    Image.fromarray(noise(40, 30)).save(tmp_path / "picture.ppm")
    sample = device / "bin" / "classify"
    shown = run(sample, "--model", device / "share" / "convnext_edge" / "model", tmp_path / "picture.ppm")
    expected = np.argsort(-python_logits(made.directory, [noise(40, 30)])[0])[:5]
    assert [int(line.split()[2]) for line in shown.decode().splitlines()] == expected.tolist()
    linked = re.findall(r"(\S+) => (\S+)/", run("ldd", sample).decode())
    places = {Path(place).resolve() for name, place in linked if name.startswith("libexecutorch")}
    assert places == {(device / "lib").resolve()}


def test_a_cmake_that_is_too_old_is_told(embedded: Embedded, tmp_path: Path) -> None:
    script = tmp_path / "old.cmake"
    script.write_text(
        f'set(CMAKE_VERSION 3.25.1)\ninclude("{embedded("float32") / "cmake" / "find_executorch.cmake"}")\n'
    )
    done = attempt("cmake", "-P", script)
    assert (done.returncode, b"needs CMake 3.28 or newer, this is 3.25.1" in done.stderr) == (1, True)


@pytest.mark.programs(*TOOLS)
def test_the_answers_on_arm64_are_those_of_python_on_this_cpu(
    models: Models, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> None:
    folder = embed_small(models, tmp_path_factory.mktemp("embedded") / "app", NAME)
    downloads = pytestconfig.cache.mkdir("embed")  # type: ignore[union-attr]
    program = build_arm64(folder, tmp_path_factory.mktemp("build"), downloads)
    pictures = photographs(24)
    found = np.frombuffer(program.answer(folder / "model", "logits", pictures), np.float32)
    compared = Comparison()
    compared.add(python_logits(folder, pictures), found.reshape(24, CLASSES), np.full(24, -1))
    assert compared.agreement == 1
    # kernels add in another order, and what lies on the boundary of two INT8 values falls either way
    assert compared.sqnr_db is None or compared.sqnr_db >= 50
