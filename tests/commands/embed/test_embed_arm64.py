"""Embedded C++ on 64-bit ARM, cross-compiled and emulated: the answers of Python on this machine."""

from __future__ import annotations

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
    embed_small,
    noise,
    packed,
    photographs,
    python_logits,
    run,
)
from support.emulated import TOOLS, build_arm64
from support.golden import conformance, golden_case
from support.models import CLASSES, RESOLUTION, Models

from benchmarks.support.counting import Emulator, Marked, build_plugin
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess

pytestmark = [pytest.mark.programs(*TOOLS), pytest.mark.slow(seconds=40)]
RUNTIMES = ("openvino", "onnxruntime")
PICTURES = 24

Built = Callable[[str], tuple[Path, Build]]


@pytest.fixture(scope="module")
def built(models: Models, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Built:
    """The folder of the small INT8 model for ARM64 in a runtime, and what was built of it."""

    def of(runtime: str) -> tuple[Path, Build]:
        downloads = pytestconfig.cache.mkdir("embed")  # type: ignore[union-attr]
        output = tmp_path_factory.mktemp("embedded") / "app"
        folder = embed_small(models, output, runtime, machine="aarch64")
        return folder, build_arm64(folder, tmp_path_factory.mktemp("build"), downloads)

    return cache(of)


@pytest.fixture(scope="module")
def counted(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Marked]:
    """The logits of pictures by a runtime, and the instructions that QEMU counted at the end of each."""
    place = tmp_path_factory.mktemp("counted")
    plugin = cache(lambda: build_plugin(place))

    def of(runtime: str) -> Marked:
        folder, program = built(runtime)
        call = ("asimddp", program.harness, folder / "model", "logits")
        return Emulator(plugin(), place).count(*call, marks=True, given=packed(photographs(PICTURES)))

    return cache(of)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_answers_are_those_of_python_on_this_cpu(
    built: Built, counted: Callable[[str], Marked], runtime: str
) -> None:
    pictures = photographs(PICTURES)
    found = np.frombuffer(counted(runtime).output, np.float32).reshape(PICTURES, CLASSES)
    compared = Comparison()
    compared.add(python_logits(built(runtime)[0], pictures), found, np.full(PICTURES, -1))
    assert compared.agreement == 1
    # kernels add in another order, and what lies on the boundary of two INT8 values falls either way
    assert compared.sqnr_db is None or compared.sqnr_db >= 50


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_products_of_int8_layers_are_dot_products(counted: Callable[[str], Marked], runtime: str) -> None:
    """As many as the layers have multiplications, 16 in an instruction; the mean of all but the first."""
    image = counted(runtime).image
    needed = int8_multiplications() / 16
    assert needed <= image["dot"] <= 1.5 * needed  # tiles at the edges are computed whole


def int8_multiplications() -> int:
    """Multiply-adds for an image in the layers of the small model whose two operands are INT8."""
    edges = (16, 8, 4, 2)  # of the maps of 64 x 64 pixels
    widths, depths = (16, 24, 32, 48), (1, 1, 2, 1)
    blocks = sum(8 * e * e * w * w * d for e, w, d in zip(edges, widths, depths, strict=True))
    downs = sum(e * e * 4 * a * b for e, a, b in zip(edges[1:], widths, widths[1:], strict=False))
    return blocks + downs


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_golden_engine_answers_as_everywhere(built: Built, tmp_path: Path, runtime: str) -> None:
    _, program = built(runtime)
    cases = [golden_case(f"int8-{runtime}")]  # one of them: emulation is slow
    (found,) = conformance(program, runtime, tmp_path, cases=cases, threads=[1]).values()
    assert found.passed, found


def test_squares_are_those_of_pillow_bit_by_bit(built: Built) -> None:
    folder, program = built("openvino")
    images = [noise(width, height) for width, height in SIZES]
    answer = program.answer(folder / "model", "squares", images)
    found = np.frombuffer(answer, np.uint8).reshape(len(SIZES), RESOLUTION, RESOLUTION, 3)
    for image, square in zip(images, found, strict=True):
        expected = preprocess(Image.fromarray(image), Preprocessing(RESOLUTION))
        np.testing.assert_array_equal(square, expected, str(image.shape))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_folder_for_the_device_is_all_that_the_program_needs(
    built: Built, tmp_path: Path, runtime: str
) -> None:
    folder, program = built(runtime)
    device = shutil.copytree(folder / "device", tmp_path / "device")
    (picture,) = photographs(1)
    Image.fromarray(picture).save(tmp_path / "picture.jpg", quality=95)
    model, sample = device / "share" / "convnext_edge" / "model", device / "bin" / "classify"
    call = (*program.emulator, sample, "--model", model, "--top", "1", tmp_path / "picture.jpg")
    (folder / "build").rename(folder / "away")
    try:
        shown = run(*call).decode()
    finally:
        (folder / "away").rename(folder / "build")
    assert int(shown.split()[2]) == python_logits(folder, [picture]).argmax()


def test_a_folder_for_arm64_says_whether_it_is_int8_there(built: Built) -> None:
    for runtime in RUNTIMES:
        folder, _ = built(runtime)
        told = (folder / "README.md").read_text()
        assert "\nprecision int8\nmachine aarch64\n" in (folder / "model" / MANIFEST).read_text()
        assert "(INT8, " in told
        assert "-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake && cmake --build build" in told
