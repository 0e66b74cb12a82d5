"""What many tests share: photographs, a small model, and what the commands make of it, each made once."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from support.compiler_cache import variables
from support.models import CLASSES, RESOLUTION, Models
from support.needs import check_markers
from support.quick_export import remembered

if TYPE_CHECKING:
    from support.embedded import Build

    from convnext_edge.artifacts.artifact import Artifact


# Tests run side by side: threads that wait for each other by spinning would slow all of them down.
# For two threads of PyTorch on a busy machine, passive waiting took a thirtieth of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Where it is set, each of some hundred processes that the tests start would compile our sources anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# PyTorch's exporters make many objects and few cycles: the garbage collector takes a twentieth of the time.
gc.set_threshold(200_000, 100, 100)


# Who takes one of these waits for a model, or for a compiler.
MADE = {"models", "embedded", "built"}
# Beginnings of the names of files that share what takes long to make.
TOGETHER = (
    "tests/commands/embed/test_embed_cpp",
    "tests/commands/embed/test_embed_web",
    "tests/devices/",
    "tests/targets/phones/",
    "tests/targets/tensorrt/",
)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes something made as slow, and put the files that take longest first."""
    longest: dict[Path, float] = {}
    for item in items:
        if MADE & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        seconds = [marker.kwargs.get("seconds", 0) for marker in item.iter_markers("slow")]
        longest[item.path] = max(longest.get(item.path, 0), *seconds, 0)
    items.sort(key=lambda item: -longest[item.path])


@pytest.hookimpl(optionalhook=True)  # pytest-xdist is not in the environments of `make test-mobile`
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each file to one worker, and files that take the same builds or models to the same one."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return next((group for group in TOGETHER if file.startswith(group)), file)

    return Scheduler(config, log)


@pytest.hookimpl(tryfirst=True)  # before fixtures are made
def pytest_runtest_setup(item: pytest.Item) -> None:
    check_markers(item)


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONVNEXT_EDGE_WORKSPACE", "CONVNEXT_EDGE_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def quick_export(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # pytest-xdist gives each worker a folder in one of the run
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "traced"
    shared.mkdir(exist_ok=True)
    with remembered(shared):
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_once(pytestconfig: pytest.Config) -> Iterator[None]:
    cache = getattr(pytestconfig, "cache", None)  # pytest may run without one
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (variables(cache.mkdir("ccache")) if cache else {}).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_rounds() -> Iterator[None]:
    """Time INT8 against FP32 in the fewest rounds, not for 5 s: no test reads what they measure."""
    from convnext_edge.commands.quantize import speed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "SECONDS", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def memory_once() -> Iterator[None]:
    """Let `benchmark` measure the memory of an engine once, in a process of its own, and not at each call."""
    from convnext_edge.artifacts.digests import sha256
    from convnext_edge.commands.benchmark import run

    measure, found = run.peak_rss, dict[tuple[object, ...], int | None]()

    def remembered(artifact: Artifact, target: str, **how: int) -> int | None:
        key = (sha256(artifact.path), target, *sorted(how.items()))
        if key not in found:
            found[key] = measure(artifact, target, **how)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "peak_rss", remembered)
        yield


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images in each of ten class folders, as smooth as photographs are."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(4 * CLASSES):
        colours = Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8))
        place = folder / f"class{number % CLASSES}"
        place.mkdir(exist_ok=True)
        colours.resize((88, 80), Image.Resampling.BICUBIC).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Models:
    return Models(tmp_path_factory.mktemp("models"), photos)


@pytest.fixture(scope="session")
def batch(photos: Path) -> dict[str, np.ndarray]:
    """All photographs as each input type takes them."""
    from convnext_edge.images.opening import open_image_set
    from convnext_edge.images.preprocessing import Preprocessing

    images = open_image_set(str(photos))
    preprocessing = Preprocessing(resolution=RESOLUTION)
    return {
        dtype: next(iter(images.batches(preprocessing, batch=len(images), dtype=dtype))).images
        for dtype in ("float32", "uint8")
    }


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on every machine; the tests that want a GPU are in test_tensorrt_gpu.py."""
    from convnext_edge.targets.tensorrt import target as tensorrt
    from convnext_edge.targets.tensorrt.cuda import NO_DRIVER, NoGpu

    monkeypatch.setattr(tensorrt, "find_gpu", lambda: NoGpu(NO_DRIVER))


@pytest.fixture(scope="session")
def embedded(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of embedded C++, of the small INT8 model for a runtime and a type of input."""
    from support.embedded import embed_small

    return cache(lambda *kind: embed_small(models, tmp_path_factory.mktemp("embedded") / "app", *kind))


@pytest.fixture(scope="session")
def built(
    embedded: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[[str], Build]:
    """Its library for a runtime, with sanitizers."""
    from support.embedded import build_sanitized

    headers = pytestconfig.cache.mkdir("embed")  # type: ignore[union-attr]
    return cache(
        lambda runtime: build_sanitized(embedded(runtime), tmp_path_factory.mktemp("build"), runtime, headers)
    )


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    from support.embedded import photographs

    return photographs(200)
