"""TensorRT and TensorRT-RTX without a GPU: refusals, the simulation, and the session on a stand-in."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.for_tensorrt import ADA, HERE, RTX, use_gpu
from support.models import Models

from convnext_edge import benchmark, build, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import TargetError, UsageError
from convnext_edge.targets.registry import find_target
from convnext_edge.targets.tensorrt import session as tensorrt_session
from convnext_edge.targets.tensorrt import target as tensorrt
from convnext_edge.targets.tensorrt.builder import is_covered
from convnext_edge.targets.tensorrt.cuda import NO_DRIVER, NO_GPU, NoGpu

pytestmark = pytest.mark.usefixtures("no_gpu")


# Refusals


def test_unsigned_activations_are_refused_with_the_command_that_helps(models: Models) -> None:
    with pytest.raises(
        TargetError, match=r"unsigned(?s:.)*quantize MODEL --calib NAME --target tensorrt-rtx"
    ):
        tensorrt.TENSORRT_RTX.graph(models.quantized("openvino"), None)


@pytest.mark.parametrize("name", ["tensorrt", RTX])
def test_a_missing_package_is_told_with_the_line_that_installs_it(
    name: str, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(monkeypatch, ADA)
    target = find_target(name)
    monkeypatch.setitem(sys.modules, target.package, None)
    with pytest.raises(TargetError, match=rf"pip install 'convnext-edge\[{name}\]'"):
        build(models.exported(), target=name, workspace=models.workspace)


@pytest.mark.parametrize(
    ("gpu", "reason"), [(NO_DRIVER, "driver is not installed"), (NO_GPU, "no NVIDIA GPU")]
)
def test_tensorrt_does_not_build_without_a_gpu(
    gpu: str, reason: str, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(monkeypatch, NoGpu(gpu))
    with pytest.raises(TargetError, match=rf"{reason}(?s:.)*--emit-script"):
        build(models.exported(), target="tensorrt", workspace=models.workspace)


def test_a_full_disk_is_no_fault_of_tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes the artifact makes of it that it cannot be written."""
    target = find_target(RTX)
    monkeypatch.setattr(type(target), "module", lambda self: None)
    monkeypatch.setattr(type(target), "parts", lambda self, *options: (None,))
    monkeypatch.setattr(tensorrt, "build_plan", lambda module, part, options: b"plan")
    with pytest.raises(OSError, match="No space left on device"):
        target.build(tmp_path / "model.onnx", Path("/dev/full"))


@pytest.mark.rtx
@pytest.mark.parametrize("capability", ["5.2", "89", "new"])
def test_an_unknown_compute_capability_is_refused(
    capability: str, quantized: Path, models: Models, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"{capability}(?s:.)*7\.5.*12\.0"):
        build(
            quantized,
            target=RTX,
            compute_capability=[capability],
            output=tmp_path / "a.engine",
            workspace=models.workspace,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("openvino", {"max_batch": 2}),
        ("onnxruntime", {"precision": "fp16"}),
        ("torch", {"compute_capability": ["8.9"]}),
        ("tensorrt", {"compute_capability": ["8.9"]}),
        (RTX, {"timing_cache": Path("timing.cache")}),
    ],
)
def test_options_that_mean_nothing_to_a_target_are_refused(
    target: str, options: dict[str, Any], models: Models
) -> None:
    (name,) = options
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} means nothing to target {target}"):
        build(models.exported(), target=target, workspace=models.workspace, **options)


@pytest.mark.rtx
def test_engines_of_another_version_or_gpu_are_refused(
    models: Models, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build(
        quantized, compute_capability=["7.5"], output=tmp_path / "a.engine", workspace=models.workspace
    )
    use_gpu(monkeypatch, ADA)
    with pytest.raises(
        TargetError, match=r"built for compute capability 7\.5(?s:.)*--compute-capability 8\.9"
    ):
        tensorrt.TENSORRT_RTX.open_session(open_artifact(made.engine))
    monkeypatch.setattr(tensorrt.TensorRT, "version", lambda self: "0.9")
    with pytest.raises(TargetError, match=r"here is 0\.9(?s:.)*Build it again"):
        tensorrt.TENSORRT_RTX.open_session(open_artifact(made.engine))


@pytest.mark.parametrize(
    ("capability", "built_for", "expected"),
    [
        ("8.9", ["8.0+"], True),
        ("12.0", ["8.0+"], True),
        ("7.5", ["8.0+"], False),
        ("7.5", ["7.5", "8.9"], True),
        ("8.6", ["8.9"], False),
    ],
)
def test_which_gpu_runs_what(capability: str, built_for: list[str], expected: bool) -> None:
    assert is_covered(capability, built_for) is expected


def test_doctor_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_target(RTX).availability()
    assert (found.can_build, found.can_run) == (HERE, False)
    assert found.remedy
    assert not find_target("tensorrt").availability().can_build


# Without a GPU


@pytest.mark.rtx
def test_model_and_engine_are_simulated_alike_and_labelled(
    models: Models, quantized: Path, tmp_path: Path
) -> None:
    output = models.workspace / "simulated.engine"
    engine = build(quantized, output=output, workspace=models.workspace).engine
    results = [
        validate(path, data=str(models.photos), target=RTX, workspace=models.workspace)
        for path in (quantized, engine)
    ]
    assert all(result.simulated and result.label == "simulated: no GPU here" for result in results)
    assert results[0].sqnr_db == results[1].sqnr_db
    assert results[0].sqnr_db is not None
    assert results[0].sqnr_db > 20


def test_a_simulation_is_never_timed(models: Models, quantized: Path) -> None:
    with pytest.raises(TargetError, match=r"cannot be timed here \(simulated: no GPU here"):
        benchmark(quantized, target=RTX, workspace=models.workspace)


@pytest.mark.slow(seconds=60)
def test_the_demo_model_keeps_its_answers(tmp_path: Path) -> None:
    from convnext_edge import export, quantize

    made = export("demo", target=RTX, workspace=tmp_path).artifact
    int8 = quantize(made, calib="demo", samples=128, target=RTX, workspace=tmp_path).artifact
    found = validate(int8, data="demo", target=RTX, workspace=tmp_path)
    assert found.agreement >= 0.99
    assert found.sqnr_db is not None
    assert found.sqnr_db >= 31


# The session, on a stand-in for a GPU


class Context:
    """Answers with the mean of each image, through the addresses that it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes.append(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.shapes[-1][0], 1)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        import ctypes

        count = int(np.prod(self.shapes[-1]))
        read = np.ctypeslib.as_array((ctypes.c_float * count).from_address(self.addresses["image"]))
        images = self.shapes[-1][0]
        write = np.ctypeslib.as_array((ctypes.c_float * images).from_address(self.addresses["logits"]))
        write[:] = read.reshape(images, -1).mean(1)
        return True


def test_a_session_splits_what_exceeds_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    import torch

    context = Context()
    cuda = SimpleNamespace(
        Stream=lambda: SimpleNamespace(cuda_stream=0), stream=lambda _: contextlib.nullcontext()
    )
    stand_in = SimpleNamespace(
        cuda=cuda,
        float32=torch.float32,
        from_numpy=lambda array: SimpleNamespace(to=lambda device: torch.from_numpy(array)),
        empty=lambda shape, dtype, device: torch.empty(shape, dtype=dtype),
    )
    monkeypatch.setattr(tensorrt_session, "cuda_torch", lambda: stand_in)
    engine = SimpleNamespace(
        create_execution_context=lambda: context,
        num_io_tensors=2,
        get_tensor_name=["image", "logits"].__getitem__,
    )
    runtime = SimpleNamespace(deserialize_cuda_engine=lambda plan: engine)
    severity = SimpleNamespace(INFO=1, WARNING=2, ERROR=3, INTERNAL_ERROR=4)
    module = SimpleNamespace(
        ILogger=type("ILogger", (), {"Severity": severity}),
        Runtime=lambda logger: runtime,
        LayerInformationFormat=SimpleNamespace(JSON=0),
    )
    images = np.random.default_rng(0).random((7, 4, 4, 3), np.float32).transpose(0, 3, 1, 2)
    with tensorrt_session.TensorRTSession(module, b"plan", max_batch=3) as session:
        found = session.run(images)
    assert [shape[0] for shape in context.shapes] == [3, 3, 1]
    np.testing.assert_allclose(found[:, 0], images.reshape(7, -1).mean(1), rtol=1e-6)
