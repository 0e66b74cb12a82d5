"""export: an ONNX file that any runtime reads, with the answers of the checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.models import CHECKPOINT, CLASSES, RESOLUTION, SUFFIXES, Models
from support.places import ROOT

from convnext_edge import build, export, quantize, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.errors import CheckpointError, ExportError, UsageError
from convnext_edge.evaluation import parity
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import normalize
from convnext_edge.onnx_graph import files
from convnext_edge.onnx_graph.tracing import Graph, write_onnx

pytestmark = pytest.mark.slow(seconds=25)

V2 = CHECKPOINT.with_name("timm_v2.safetensors")


def pixels(count: int, edge: int = RESOLUTION) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 3, edge, edge), np.uint8)


def normalized(images: np.ndarray) -> np.ndarray:
    return normalize(images, Preprocessing())


def run(path: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    result: np.ndarray = session.run(None, {given.name: images})[0]
    return result


def reference(images: np.ndarray, checkpoint: Path = CHECKPOINT) -> np.ndarray:
    with torch.inference_mode():
        result: np.ndarray = load_checkpoint(checkpoint).model(torch.from_numpy(normalized(images))).numpy()
    return result


# The graph


def test_the_graph_is_valid_and_needs_no_operator_of_a_vendor(models: Models) -> None:
    model = onnx.load(models.exported())
    onnx.checker.check_model(model, full_check=True)
    assert {(opset.domain, opset.version >= 20) for opset in model.opset_import} == {("", True)}


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_batch_is_dynamic(models: Models, batch: int) -> None:
    images = pixels(batch)
    assert np.abs(run(models.exported(), normalized(images)) - reference(images)).max() < 1e-4


def test_every_value_of_the_graph_tells_that_the_batch_varies(models: Models) -> None:
    model = onnx.load(models.exported())
    values = {v.name: v.type.tensor_type.shape.dim for v in model.graph.value_info}
    assert {values[node.output[0]][0].dim_param for node in model.graph.node[:-1]} == {"batch"}
    for value in [*model.graph.input, *model.graph.output]:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


class Turned(torch.nn.Module):
    """What no lowered model does: the batch becomes the last axis."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(1, 2, 3, 0).relu()


def test_a_batch_that_moves_is_no_batch_to_let_vary(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not begin with the batch"):
        write_onnx(Turned(), torch.ones(2, 3, 8, 8), tmp_path / "model.onnx", Graph(["logits"]))
    assert not list(tmp_path.iterdir())


def test_a_uint8_model_takes_the_bytes_of_the_image(models: Models) -> None:
    images = pixels(3)
    assert np.abs(run(models.exported("uint8"), images) - reference(images)).max() < 1e-4


@pytest.mark.parametrize("edge", [32, 96])
def test_any_multiple_of_the_stride_is_a_resolution(tmp_path: Path, edge: int) -> None:
    made = export(checkpoint=V2, resolution=edge, workspace=tmp_path)
    assert made.resolution == edge
    assert made.parity_max_abs_diff < 1e-4
    images = pixels(2, edge)
    assert np.abs(run(made.artifact, normalized(images)) - reference(images, V2)).max() < 1e-4


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_the_form_of_a_target_has_the_same_answers(tmp_path: Path, target: str) -> None:
    made = export(checkpoint=V2, resolution=32, target=target, input_type="uint8", workspace=tmp_path)
    images = pixels(2, 32)
    assert open_artifact(made.artifact).description.target == target
    assert np.abs(run(made.artifact, images) - reference(images, V2)).max() < 1e-4


def test_the_file_tells_nothing_of_the_machine_it_was_made_on(models: Models) -> None:
    content = models.exported().read_bytes()
    here = (str(Path.home()), str(ROOT), sys.prefix, str(models.workspace))
    for trace in (*here, "site-packages", ".py", "File ", "line ", "Traceback"):
        assert trace.encode() not in content, trace


def test_the_same_export_in_another_process_is_the_same_to_the_byte(models: Models, tmp_path: Path) -> None:
    asked = ["export", "--checkpoint", CHECKPOINT, "--resolution", str(RESOLUTION), "--workspace", tmp_path]
    subprocess.run(
        [sys.executable, "-m", "convnext_edge", *asked],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
    )
    for name in ("timm_v1.onnx", "timm_v1.safetensors"):
        models.exported()
        assert (tmp_path / name).read_bytes() == (models.workspace / name).read_bytes(), name


# Weights over 2 GiB, which is the limit of a protobuf message


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model counts as one over 2 GiB."""
    monkeypatch.setattr(files, "PROTOBUF_LIMIT", 1000)


@pytest.mark.usefixtures("small_messages")
def test_a_large_model_keeps_its_weights_in_a_companion(tmp_path: Path, photos: Path) -> None:
    made = export(checkpoint=CHECKPOINT, resolution=RESOLUTION, workspace=tmp_path).artifact
    companion = tmp_path / "timm_v1.onnx.data"
    artifact = open_artifact(made)
    assert artifact.files.keys() == {made.name, companion.name}
    assert made.stat().st_size < companion.stat().st_size
    onnx.checker.check_model(str(made))
    for target in ("torch", "onnxruntime", "openvino"):
        assert validate(made, target=target, data=str(photos), limit=8, workspace=tmp_path).agreement == 1


@pytest.mark.usefixtures("small_messages")
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_large_model_is_quantized_and_built(
    tmp_path: Path, photos: Path, models: Models, target: str
) -> None:
    start = models.exported()
    quantized = quantize(
        start, calib=str(photos), samples=4, target=target, timing=False, output=tmp_path / "int8.onnx"
    )
    assert open_artifact(quantized.artifact).files.keys() == {"int8.onnx", "int8.onnx.data"}
    output = tmp_path / f"engine{SUFFIXES[target]}"
    engine = build(quantized.artifact, workspace=models.workspace, output=output).engine
    companions = open_artifact(engine).files.keys() - {engine.name}
    assert companions == {"engine.bin" if target == "openvino" else f"{engine.name}.data"}
    found = validate(engine, data=str(photos), limit=8, workspace=models.workspace)
    assert found.sqnr_db is not None
    assert found.sqnr_db > 20


# The result and the sidecar


def test_the_result_describes_the_model(tmp_path: Path) -> None:
    made = export(checkpoint=CHECKPOINT, resolution=RESOLUTION, workspace=tmp_path)
    architecture = load_checkpoint(CHECKPOINT).architecture
    assert (made.variant, made.classes, made.resolution) == (None, CLASSES, RESOLUTION)
    assert (made.params, made.macs) == (architecture.params, architecture.macs(RESOLUTION))
    assert 0 <= made.parity_max_abs_diff < 1e-4
    assert json.loads(json.dumps(made.to_json()))["artifact"] == str(tmp_path / "timm_v1.onnx")


def test_the_sidecar_says_what_the_file_was_made_from(models: Models) -> None:
    artifact = open_artifact(models.exported())
    description = artifact.description
    weights = open_artifact(models.workspace / "timm_v1.safetensors")
    assert description.parent == description.weights == weights.link
    assert (description.kind, description.precision, description.target) == ("onnx", "fp32", None)
    assert description.preprocessing == Preprocessing(resolution=RESOLUTION)
    assert description.architecture.dims == (16, 24, 32, 48)
    assert weights.description.kind == "weights"


def test_the_weights_stay_in_the_workspace_when_the_checkpoint_goes(tmp_path: Path, photos: Path) -> None:
    checkpoint = tmp_path / "mine.pth"
    torch.save(load_checkpoint(CHECKPOINT).model.state_dict(), checkpoint)
    made = export(checkpoint=checkpoint, resolution=32, workspace=tmp_path / "work").artifact
    checkpoint.unlink()
    assert validate(made, data=str(photos), limit=4, workspace=tmp_path / "work").agreement == 1


def test_the_output_goes_where_it_is_wanted(tmp_path: Path) -> None:
    wanted = tmp_path / "deeper" / "model.onnx"
    made = export(checkpoint=CHECKPOINT, resolution=32, output=wanted, workspace=tmp_path / "work")
    assert made.artifact == wanted
    assert open_artifact(wanted).path == wanted


# Refusals


def test_what_the_stride_does_not_divide_is_cut_off_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    made = export(checkpoint=CHECKPOINT, resolution=(64, 76), workspace=tmp_path)
    assert (made.resolution, made.width) == (64, 76)
    assert "76 pixels are no multiple of 32: what a stride does not divide is left out" in caplog.text
    assert open_artifact(made.artifact).description.preprocessing.size == (64, 76)


@pytest.mark.parametrize(
    ("resolution", "kind", "said"),
    [
        (0, UsageError, "0 is out of range"),
        (-32, UsageError, "out of range"),
        (16, ExportError, "16 is small"),
    ],
)
def test_a_resolution_below_the_stride_is_refused(
    tmp_path: Path, resolution: int, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=f"resolution .*{said}"):
        export(checkpoint=CHECKPOINT, resolution=resolution, workspace=tmp_path)


def test_a_checkpoint_of_another_variant_is_refused_with_both_shapes(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        export("tiny", checkpoint=CHECKPOINT, workspace=tmp_path)
    assert "is not a tiny: it has depths (1, 1, 2, 1), dims (16, 24, 32, 48)" in caught.value.message
    assert "tiny has depths (3, 3, 9, 3)" in caught.value.message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "no model is named"),
        ({"random_weights": True}, "no model is named"),
        ({"checkpoint": CHECKPOINT, "random_weights": True}, "exclude each other"),
        ({"variant": "tyni"}, "'tyni'"),
        ({"checkpoint": CHECKPOINT, "target": "tensorflow"}, "unknown target 'tensorflow'"),
    ],
)
def test_options_that_name_no_model_or_two_are_wrong_usage(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        export(**options, workspace=tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir()), "refused before anything is written"


def test_a_file_that_differs_from_pytorch_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "PARITY", -1.0)
    with pytest.raises(ExportError, match="differs from PyTorch"):
        export(checkpoint=CHECKPOINT, resolution=32, workspace=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"timm_v1.safetensors", "timm_v1.safetensors.json"}


def test_weights_that_export_kept_say_how_images_are_prepared(tmp_path: Path) -> None:
    half = (0.5, 0.5, 0.5)
    first = export(checkpoint=CHECKPOINT, resolution=32, mean=half, std=half, workspace=tmp_path)
    again = export(checkpoint=first.weights, workspace=tmp_path)
    described = open_artifact(again.artifact).description
    assert described.preprocessing == Preprocessing(resolution=32, mean=half, std=half)
    assert again.artifact == first.artifact


def test_weights_that_export_kept_say_the_names_of_the_classes(tmp_path: Path) -> None:
    first = export("demo", workspace=tmp_path)
    again = export(checkpoint=first.weights, workspace=tmp_path)
    assert open_artifact(again.artifact).description.classes[0] == "airplane"
