"""Tasks of a grid, by a stand-in for Ray that does each at once: what they ask for, what becomes of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.models import Models

from convnext_edge.commands.compare.contest import Work
from convnext_edge.commands.compare.grid import on_ray
from convnext_edge.commands.compare.grid.cluster import RESOURCE, SHARE, Node
from convnext_edge.commands.compare.grid.here import run_here
from convnext_edge.commands.compare.grid.plan import Grid, Method, Model
from convnext_edge.evaluation import shards

IMAGES, BROKEN = 204, "images/011.png"


class RayError(Exception):
    """Stands for the errors of Ray, as of a worker that ended too often."""


class FakeRay:
    """Does each task at once, with arguments and results that went through pickle as those of Ray do."""

    def __init__(self, dies: str = "") -> None:
        self.dies = dies  # name of the tasks whose workers end
        self.asked: list[tuple[str, float]] = []  # of each task its name, and its share of the node
        self.exceptions = SimpleNamespace(RayError=RayError)

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        assert options["max_retries"] == on_ray.RETRIES

        def wrap(function: Callable[..., Any]) -> Any:
            def with_options(name: str, resources: dict[str, float]) -> Any:
                def run(*arguments: Any) -> Ref:
                    self.asked.append((name, resources[RESOURCE]))
                    if name == self.dies:
                        return Ref(RayError("The worker died unexpectedly.\nmore"))
                    lost = [each for each in arguments if isinstance(each, Ref) and each.is_lost]
                    if lost:
                        return lost[0]
                    values = [self.get(each) if isinstance(each, Ref) else each for each in arguments]
                    return Ref(pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(values))))))

                return SimpleNamespace(remote=run)

            return SimpleNamespace(options=with_options)

        return wrap

    def get(self, ref: Ref) -> Any:
        if ref.is_lost:
            raise ref.value
        return ref.value

    def wait(self, refs: list[Ref], num_returns: int) -> tuple[list[Ref], list[Ref]]:
        return refs[:num_returns], refs[num_returns:]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0 * on_ray.steps.torch.get_num_threads()}


class Ref:
    def __init__(self, value: Any) -> None:
        self.value, self.is_lost = value, isinstance(value, RayError)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than a hundred, so that a broken one is left out."""
    folder = tmp_path_factory.mktemp("pictures") / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        colours = Image.fromarray(generator.integers(0, 256, (3, 3, 3), np.uint8))
        colours.resize((72, 72), Image.Resampling.BICUBIC).save(folder / f"{number:03}.png")
    (folder / Path(BROKEN).name).write_bytes(b"no picture")
    return folder


@pytest.fixture
def grid(models: Models, pictures: Path, tmp_path: Path) -> Grid:
    models.copy_exported(tmp_path)
    work = Work(tmp_path, calib=pictures, data=pictures, runs=1)
    start = Model(artifact=tmp_path / models.exported().name)
    return Grid((start,), (Method("fp32"),), ("onnxruntime",), work)


def run(grid: Grid, ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    @contextmanager
    def connected(address: str, workspace: Path, threads: int) -> Iterator[tuple[FakeRay, list[Node]]]:
        yield ray, [Node("here", "a CPU", {}, sees=True)]

    monkeypatch.setattr(on_ray, "connected", connected)
    monkeypatch.setattr(shards, "SMALLEST", 64)
    rows, workers = on_ray.run_on_ray(grid, "local")
    assert workers == 2
    return rows


def test_shares_are_asked_again_without_a_broken_image_and_timing_takes_the_whole_node(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay()
    (row,) = run(grid, ray, monkeypatch)
    # 204 images are 3 shares: the reference answers twice, as one of them turns out to be broken
    assert ray.asked == [
        ("start_model", SHARE), ("make", SHARE), *[("reference_shard", SHARE)] * 6, ("keep_reference", SHARE),
        *[("answer", SHARE)] * 3, ("join", SHARE), ("time", 1),
    ]  # fmt: skip
    assert row["failed"] is None
    assert (row["images"], row["skipped_images"]) == (IMAGES - 1, [Path(BROKEN).name])
    other = replace(grid, work=replace(grid.work, workspace=grid.work.workspace / "other"))
    (alone,) = run_here(other)
    for key in ("images", "agreement", "sqnr_db", "beyond_top1", "skipped_images", "sha256", "warnings"):
        assert row[key] == alone[key], key
    # by then, all answers of the reference are kept
    again = FakeRay()
    (kept,) = run(grid, again, monkeypatch)
    assert [name for name, _ in again.asked] == ["start_model", "make", "check", "time"]
    assert (kept["kept"], kept["sqnr_db"]) == (["make", "check", "time"], row["sqnr_db"])


@pytest.mark.parametrize("dies", ["make", "answer", "time"])
def test_a_task_whose_worker_always_ends_is_a_row_that_says_so(
    grid: Grid, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    (row,) = run(grid, FakeRay(dies), monkeypatch)
    assert row["failed"] == "its worker ended 7 times: The worker died unexpectedly"
    assert (row["model"], row["target"], row["sqnr_db"]) == ("timm_v1", "onnxruntime", None)
