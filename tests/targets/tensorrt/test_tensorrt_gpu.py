"""TensorRT and TensorRT-RTX on a GPU; `make test-gpu` runs these, and skips them where there is none."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest
from support.detectors import CHECKPOINT, SETTINGS, SIZE
from support.models import RESOLUTION, Models

from convnext_edge import benchmark, build, export, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.evaluation.detections import match
from convnext_edge.images.objects import split
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.targets.registry import find_target
from convnext_edge.targets.tensorrt.cuda import NoGpu, find_gpu
from convnext_edge.targets.tensorrt.detector import simulate
from convnext_edge.targets.tensorrt.session import TensorRTSession, TensorRTSimulation
from convnext_edge.targets.tensorrt.target import TensorRT

GPU = find_gpu()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(isinstance(GPU, NoGpu), reason=getattr(GPU, "reason", "")),
]
SAME = 30  # dB: kernels add up in another order, so values on a rounding boundary fall either way


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def target(request: pytest.FixtureRequest) -> TensorRT:
    found = find_target(request.param)
    assert isinstance(found, TensorRT)
    if util.find_spec(found.package) is None:
        pytest.skip(f"{found.package} is not installed: pip install '{found.install}'")
    return found


def engine(models: Models, target: TensorRT, folder: Path, **options: object) -> Path:
    made = build(
        models.quantized(target.name),
        output=folder / "a.engine",
        workspace=models.workspace,
        **options,  # type: ignore[arg-type]
    )
    return made.engine


def test_an_engine_answers_as_its_simulation(models: Models, target: TensorRT, tmp_path: Path) -> None:
    images = example_input((3, RESOLUTION, RESOLUTION), "float32", batch=11).numpy()
    with target.open_session(open_artifact(engine(models, target, tmp_path))) as session:
        found = session.run(images)
    expected = TensorRTSimulation(target.graph(models.quantized(target.name), None), None).run(images)
    assert 10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum()) > SAME


def test_products_run_in_int8(models: Models, target: TensorRT, tmp_path: Path) -> None:
    with target.open_session(open_artifact(engine(models, target, tmp_path))) as session:
        assert isinstance(session, TensorRTSession)
        layers = session.layers()
    assert any("int8" in str(layer).lower() for layer in layers)


def test_a_model_is_validated_on_the_gpu(models: Models, target: TensorRT) -> None:
    found = validate(
        models.quantized(target.name), data=str(models.photos), target=target.name, workspace=models.workspace
    )
    assert not found.simulated
    assert found.sqnr_db is not None
    assert found.sqnr_db > 20


def test_int8_is_timed_against_fp16(models: Models, target: TensorRT, tmp_path: Path) -> None:
    found = benchmark(engine(models, target, tmp_path), runs=5, workspace=models.workspace)
    assert found.fp16_ms is not None
    assert found.advice in ("ship INT8", "ship FP16")


def test_a_timing_cache_is_kept(models: Models, tmp_path: Path) -> None:
    target = find_target("tensorrt")
    assert isinstance(target, TensorRT)
    if util.find_spec(target.package) is None:
        pytest.skip(f"{target.package} is not installed: pip install '{target.install}'")
    cache = tmp_path / "timing.cache"
    engine(models, target, tmp_path, timing_cache=cache)
    assert cache.stat().st_size


def test_the_two_engines_of_a_detector_find_what_their_simulation_finds(
    target: TensorRT, tmp_path: Path
) -> None:
    made = export(checkpoint=CHECKPOINT, resolution=SIZE, target=target.name, workspace=tmp_path, **SETTINGS)
    built = build(made.artifact, target=target.name, workspace=tmp_path).engine
    images = np.random.default_rng(1).normal(size=(3, 3, *SIZE)).astype(np.float32)
    with target.open_session(open_artifact(built)) as session:
        found = split(session.run_all(images))
    parts = target.parts(made.artifact, None)
    with simulate(open_artifact(built).description.architecture, parts, None) as session:
        expected = split(session.run_all(images))
    for one, other in zip(found, expected, strict=True):
        pairs = match(one, other)
        assert len(pairs) == len(other.boxes) > 3
        assert min(iou for *_, iou in pairs) > 0.99
