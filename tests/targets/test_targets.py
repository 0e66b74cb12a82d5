"""The targets: every multiplication in an INT8 kernel, and the same answers from all of them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata, util
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.models import Models

from convnext_edge import build, export, quantize
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.checkpoints.variants import find_variant
from convnext_edge.errors import ArtifactError, TargetError, UsageError
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.targets.base import Session
from convnext_edge.targets.onnxruntime import ONNXRuntimeSession
from convnext_edge.targets.openvino import OpenVINOSession
from convnext_edge.targets.registry import find_target

CPU_TARGETS = ("torch", "onnxruntime", "openvino")
BLOCKS = (1, 1, 2, 1)  # of ConvNeXt-T's (3, 3, 9, 3), which differ in nothing within a stage
# stem, 3 downsampling layers, two pointwise layers in each block, head
MULTIPLICATIONS, POINTWISE, DEPTHWISE = 1 + 3 + 2 * sum(BLOCKS) + 1, 2 * sum(BLOCKS), sum(BLOCKS)
# Between two runtimes, a value on the boundary of two codes may fall either way. Next to random weights, as
# here, that shows more than next to trained ones; the quantization itself is at 30 dB.
SAME_DB = 45


# Fused operators: an update of a runtime may lose them without a word, and with them the speed


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Callable[[str], Path]:
    """ConvNeXt-T with random weights and fewer blocks, in INT8 for a target."""
    workspace = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    fewer = replace(find_variant("tiny").architecture, depths=BLOCKS)
    torch.save(ConvNeXt(fewer).state_dict(), workspace / "fewer.pth")
    start = export(checkpoint=workspace / "fewer.pth", resolution=32, input_type="uint8", workspace=workspace)
    recipe = workspace / "quick.toml"
    recipe.write_text('rounding = "nearest"\n')  # the codes differ, the kernels are the same

    def quantized(target: str) -> Path:
        made = quantize(
            start.artifact,
            calib=str(photos),
            samples=2,
            target=target,
            recipe=recipe,
            timing=False,
            workspace=workspace,
        )
        return made.artifact

    return quantized


@pytest.mark.slow
def test_onnxruntime_multiplies_as_wide_as_convnext_t_in_fused_integer_operators(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    engine = tmp_path / "engine.onnx"
    find_target("onnxruntime").build(tiny("onnxruntime"), engine)
    nodes = onnx.load(engine).graph.node
    found = Counter(node.op_type for node in nodes)
    assert found["MatMulIntegerToFloat"] == MULTIPLICATIONS - 1
    assert all(len(node.input) == 7 for node in nodes if node.op_type == "MatMulIntegerToFloat"), "with bias"
    assert found["MatMul"] == 1, "the head"
    assert found["Gelu"] == sum(BLOCKS)
    assert found["Add"] == sum(BLOCKS) + 1, "the residual sums, and the bias of the head"
    assert found["Conv"] == DEPTHWISE
    assert found.keys().isdisjoint(
        {"Gemm", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulNBits", "BiasGelu"}
    )
    assert found["DequantizeLinear"] == 0


@pytest.mark.slow
def test_openvino_multiplies_as_wide_as_convnext_t_in_int8_kernels(tiny: Callable[[str], Path]) -> None:
    session = OpenVINOSession(tiny("openvino"), threads=1)
    convolutions = [primitive for kind, primitive in session.kernels() if kind == "Convolution"]
    depthwise = [primitive for primitive in convolutions if "_dw_" in primitive]
    others = [primitive for primitive in convolutions if "_dw_" not in primitive]
    assert len(depthwise) == DEPTHWISE
    assert len(others) == MULTIPLICATIONS
    assert len([primitive for primitive in others if not primitive.upper().endswith("_I8")]) == 1, "the head"
    assert sum("1x1" in primitive for primitive in others) >= POINTWISE
    assert not [primitive for kind, primitive in session.kernels() if kind in ("FullyConnected", "MatMul")]


# Agreement


def logits(session: Session, images: np.ndarray) -> np.ndarray:
    with session:
        return session.run(images)


def sessions(models: Models, model: Path) -> dict[str, Session]:
    """The model in every arithmetic there is: simulated, plain, optimized, and as built engines."""
    artifact = open_artifact(model)
    found: dict[str, Session] = {
        target: find_target(target).open_session(artifact, threads=1) for target in CPU_TARGETS
    }
    found["onnxruntime, unoptimized"] = ONNXRuntimeSession(model, 1, optimized=False)
    for target in CPU_TARGETS:
        engine = open_artifact(models.engine(target, model))
        found[f"{target} engine"] = find_target(target).open_session(engine, threads=1)
    return found


@pytest.mark.slow(seconds=45)
@pytest.mark.parametrize(
    ("target", "input_type"), [("openvino", "float32"), ("onnxruntime", "uint8")], ids=lambda value: value
)
def test_all_targets_give_the_same_answers(
    models: Models, batch: dict[str, np.ndarray], target: str, input_type: str
) -> None:
    model = models.quantized(target, input_type=input_type)  # type: ignore[arg-type]
    answers = {name: logits(s, batch[input_type]) for name, s in sessions(models, model).items()}
    assert len(answers) == 7
    for one, other in combinations(answers, 2):
        found = Comparison()
        found.add(answers[one], answers[other], np.full(len(batch[input_type]), -1))
        assert found.agreement == 1, (one, other)
        assert found.sqnr_db is None or found.sqnr_db >= SAME_DB, (one, other)


@pytest.mark.parametrize("target", CPU_TARGETS)
def test_an_engine_of_the_fp32_model_has_its_answers(
    models: Models, batch: dict[str, np.ndarray], target: str
) -> None:
    model = open_artifact(models.exported())
    engine = open_artifact(models.engine(target, models.exported()))
    assert (engine.description.precision, engine.description.target) == ("fp32", target)
    expected = logits(find_target("torch").open_session(model), batch["float32"])
    found = logits(find_target(target).open_session(engine, threads=1), batch["float32"])
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("target", CPU_TARGETS)
def test_an_engine_takes_any_batch(models: Models, batch: dict[str, np.ndarray], target: str) -> None:
    engine = open_artifact(models.engine(target, models.quantized()))
    images = batch["float32"]
    session = find_target(target).open_session(engine, threads=1)
    for count in (1, 3):
        assert np.abs(session.run(images[:count]) - session.run(images[:5])[:count]).max() < 0.05, count


# Engines


def test_an_engine_says_what_it_was_built_from(models: Models) -> None:
    engine = open_artifact(models.engine("openvino", models.quantized()))
    assert engine.description.kind == "engine"
    assert engine.description.parent == open_artifact(models.quantized()).link
    assert engine.files.keys() == {engine.path.name, engine.path.with_suffix(".bin").name}


def test_build_takes_the_newest_model_and_its_own_target(
    models: Models, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    model = models.quantized("onnxruntime")
    for path in (model, sidecar_path(model)):
        shutil.copy2(path, tmp_path)
    made = build(workspace=tmp_path)
    assert f"taking {tmp_path / model.name}, the newest model of the workspace" in caplog.text
    assert (made.target, made.runtime) == ("onnxruntime", "onnxruntime")
    assert made.runtime_version == metadata.version("onnxruntime")
    assert made.bytes == made.engine.stat().st_size


@pytest.mark.parametrize(("target", "wanted"), [("openvino", ".xml"), ("torch", ".pt2")])
def test_an_engine_has_the_suffix_that_its_readers_know_it_by(
    models: Models, tmp_path: Path, target: str, wanted: str
) -> None:
    with pytest.raises(UsageError, match=f"does not end in {wanted}") as caught:
        build(models.quantized(), target=target, output=tmp_path / "engine.bin", workspace=models.workspace)
    assert caught.value.hint == f"Take engine{wanted}."
    assert list(tmp_path.iterdir()) == []


def test_an_engine_is_not_built_again(models: Models, tmp_path: Path) -> None:
    engine = models.engine("openvino", models.quantized())
    with pytest.raises(ArtifactError, match="is an engine already"):
        build(engine, workspace=tmp_path)


def test_a_session_of_another_runtimes_engine_is_refused(models: Models) -> None:
    engine = open_artifact(models.engine("openvino", models.quantized()))
    for target in ("torch", "onnxruntime"):
        with pytest.raises(TargetError, match=engine.path.name):
            find_target(target).open_session(engine)


def test_a_missing_runtime_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, models: Models) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    artifact = open_artifact(models.exported())
    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    for name in ("onnxruntime", "openvino"):
        target = find_target(name)
        found = target.availability()
        assert (found.can_build, found.can_run, found.version) == (False, False, None)
        assert found.remedy == f"pip install '{target.install}'"
        with pytest.raises(TargetError, match=f"needs the package {name}") as caught:
            target.open_session(artifact)
        assert caught.value.hint == found.remedy


# A runtime that fails


@pytest.mark.parametrize("target", CPU_TARGETS)
def test_a_run_that_fails_is_an_error_of_ours_with_the_runtimes_words(models: Models, target: str) -> None:
    with find_target(target).open_session(open_artifact(models.quantized()), threads=1) as session:
        for images in (np.zeros((2, 4, 64, 64), np.float32), np.zeros((2, 3, 64, 64), np.uint8)):
            shape = "x".join(map(str, images.shape))
            with pytest.raises(
                TargetError, match=f"cannot run the model on {shape} {images.dtype}: ."
            ) as caught:
                session.run(images)
            assert session.runner in caught.value.message
            assert "\n" not in caught.value.message
            assert caught.value.__cause__ is not None


@pytest.mark.parametrize("target", CPU_TARGETS)
def test_too_little_memory_says_to_take_fewer_images(
    models: Models, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = find_target(target).open_session(open_artifact(models.quantized()), threads=1)
    said = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 600000000000 bytes"
    for error in (MemoryError(), RuntimeError(said)):
        monkeypatch.setattr(session, "_run", raising(error))
        with pytest.raises(TargetError, match=r"cannot run the model on 1x3x8x8") as caught:
            session.run(np.zeros((1, 3, 8, 8), np.float32))
        assert caught.value.hint == "Give it fewer images at a time."


def raising(error: Exception) -> Callable[[object], object]:
    def run(images: object) -> object:
        raise error

    return run


@pytest.mark.parametrize("target", CPU_TARGETS)
@pytest.mark.parametrize("left", [0.0, 0.5])
def test_an_engine_that_is_damaged_is_refused_by_its_name(
    models: Models, tmp_path: Path, target: str, left: float
) -> None:
    """With a sidecar that fits, as if it had been damaged before its digest was taken."""
    engine = open_artifact(models.engine(target, models.quantized()))
    content = engine.path.read_bytes()
    (tmp_path / engine.path.name).write_bytes(content[: int(len(content) * left)])
    damaged = replace(engine, path=tmp_path / engine.path.name)
    with pytest.raises(TargetError, match=f"refuses {damaged.path}: ."):
        find_target(target).open_session(damaged)
