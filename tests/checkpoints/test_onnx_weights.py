"""Weights out of ONNX files: as the library answers, or as before our own export."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper
from support.models import CHECKPOINT, Models
from support.onnx_files import FOREIGN, OURS, saved
from support.places import TESTS

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.artifacts.opsets import HIGHEST, LOWEST
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import Checkpoint, load_checkpoint, load_graph
from convnext_edge.errors import ArtifactError, CheckpointError
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.network.convnext import ConvNeXt, as_tuple
from convnext_edge.network.foldings import fold_normalization, fold_second_pointwise
from convnext_edge.network.lowering import lower
from convnext_edge.onnx_graph.tracing import Graph, example_input, write_onnx
from convnext_edge.tasks import output_names

pytestmark = pytest.mark.slow(seconds=60)

IMAGES = TESTS / "fixtures" / "checkpoints" / "input.npy"
SMALL = Architecture((1, 1, 1, 1), (8, 8, 8, 12), classes=5)
# What each file of `fixtures/onnx` holds: exported by PyTorch 2.13 of timm 1.0.31, torchvision 0.29.1 and
# transformers 5.24, by its exporter of today or that of TorchScript, in opsets 11 to 20.
SHOWN = {
    "timm_v1_dynamo": SMALL,
    "timm_v2_dynamo": replace(SMALL, grn=True, layer_scale=False),
    "timm_v1_script": replace(SMALL, dims=(4, 8, 8, 8)),
    "torchvision_script": SMALL,
    "transformers_v2_script": replace(
        SMALL,
        depths=(1, 1, 1),
        dims=(8, 8, 8),
        kernels=(7, 7, 7),
        grn=True,
        layer_scale=False,
        last_eps=1e-12,
    ),
    "transformers_model_dynamo": replace(SMALL, classes=0, maps=(3,), last_eps=1e-12),
    "timm_simplenorm_dynamo": replace(
        SMALL, dims=(4, 8, 8, 8), norm="simplenorm", norm_bias=False, activation="hardswish"
    ),
    "timm_overlap_dynamo": replace(
        SMALL, stem="overlap_act", stem_width=8, activation="gelu_tanh", eps=1e-5, last_eps=1e-5
    ),
    "timm_dilated_script": replace(SMALL, output_stride=16, pooling="avgmax", activation="silu", hidden=12),
}


def answers(model: ConvNeXt, images: np.ndarray) -> tuple[np.ndarray, ...]:
    with torch.no_grad():
        return tuple(answer.numpy() for answer in as_tuple(model(torch.from_numpy(images))))


def largest_difference(model: ConvNeXt, other: ConvNeXt) -> float:
    found, wanted = model.state_dict(), other.state_dict()
    assert found.keys() == wanted.keys()
    return max(float((found[name] - wanted[name]).abs().max()) for name in wanted)


def exported(
    checkpoint: Checkpoint,
    path: Path,
    form: Form = "plain",
    input_type: InputType = "float32",
    opset: int | None = None,
    *,
    dynamic_size: bool = False,
) -> Preprocessing:
    """Write a checkpoint as `export` does, without a sidecar."""
    architecture = checkpoint.architecture
    channels = architecture.channels
    mean, std = (0.5, 0.4, 0.3, 0.2)[:channels], (0.25, 0.2, 0.3, 0.4)[:channels]
    prepared = Preprocessing(64, mean=mean, std=std)
    lowered = lower(
        checkpoint.model, form, preprocessing=prepared, input_type=input_type, dynamic_size=dynamic_size
    )
    names = output_names(checkpoint.task, architecture)
    example = example_input((channels, 64, 64), input_type)
    write_onnx(lowered, example, path, Graph(names, opset=opset, dynamic_size=dynamic_size))
    return prepared


# --- files of other libraries ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHOWN)
def test_a_graph_of_a_library_answers_as_the_library_does(name: str) -> None:
    loaded = load_checkpoint(FOREIGN / f"{name}.onnx")
    assert loaded.layout == "onnx"
    assert loaded.architecture == SHOWN[name]
    assert loaded.assumed == ()
    found = answers(loaded.model, np.load(IMAGES))
    with np.load(FOREIGN / f"{name}.npz") as wanted:
        assert len(found) == len(wanted.files)
        for answer, key in zip(found, wanted.files, strict=True):
            np.testing.assert_allclose(answer, wanted[key], atol=1e-5 * wanted[key].std(), rtol=0)


def test_the_weights_are_those_of_the_librarys_own_file() -> None:
    own = load_checkpoint(FOREIGN / "timm_v1.pth")
    assert largest_difference(load_checkpoint(FOREIGN / "timm_v1_dynamo.onnx").model, own.model) <= 1e-6


def test_a_graph_in_half_precision_has_the_weights_rounded() -> None:
    own = load_checkpoint(FOREIGN / "timm_v1.pth")
    half = load_checkpoint(FOREIGN / "timm_v1_half.onnx")
    for name, weights in own.model.state_dict().items():
        torch.testing.assert_close(half.model.state_dict()[name], weights.half().float(), atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", ["timm_v1_onnxsim", "timm_v1_external"])
def test_simplified_graphs_and_those_with_weights_apart_have_the_same_weights(name: str) -> None:
    plain = load_checkpoint(FOREIGN / "timm_v1_script.onnx")
    assert largest_difference(load_checkpoint(FOREIGN / f"{name}.onnx").model, plain.model) <= 1e-6


def test_a_fixed_size_becomes_the_resolution_and_normalization_is_assumed() -> None:
    source = load_source(checkpoint=FOREIGN / "timm_v1_dynamo.onnx")
    assert source.preprocessing == Preprocessing(resolution=64)
    assert source.assumed == (f"images as {source.prepared_by}",)


# --- our own export, read back ---------------------------------------------------------------------


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_our_export_gives_the_same_weights_back(path: Path, tmp_path: Path) -> None:
    own = load_checkpoint(path)
    exported(own, tmp_path / "own.onnx")
    again = load_checkpoint(tmp_path / "own.onnx")
    assert again.architecture == own.architecture
    assert again.task == own.task
    assert largest_difference(again.model, own.model) <= 1e-6


@pytest.mark.parametrize(
    ("name", "form", "opset"),
    [
        ("timm_v1.safetensors", "linear", LOWEST),
        ("timm_v1.safetensors", "conv", HIGHEST),
        ("timm_v2.safetensors", "linear", HIGHEST),
        ("timm_v2.safetensors", "conv", LOWEST),
    ],
)
def test_a_lowered_form_gives_the_weights_back_as_it_folded_them(
    name: str, form: Form, opset: int, tmp_path: Path
) -> None:
    own = load_checkpoint(TESTS / "fixtures" / "checkpoints" / name)
    exported(own, tmp_path / "own.onnx", form, opset=opset)
    again = load_checkpoint(tmp_path / "own.onnx")
    assert "the norms' weights" in again.graph.folded
    assert again.architecture == replace(own.architecture, layer_scale=False)
    assert again.as_published == own.architecture
    found = again.model.state_dict()
    for number, stage in enumerate(own.model.stages):
        for index, block in enumerate(stage.blocks):
            first, second = fold_normalization(block.pwconv1, block.norm), fold_second_pointwise(block)
            for layer, (weight, bias) in (("pwconv1", first), ("pwconv2", second)):
                place = f"stages.{number}.blocks.{index}.{layer}"
                torch.testing.assert_close(found[f"{place}.weight"], weight.detach(), atol=1e-6, rtol=0)
                torch.testing.assert_close(found[f"{place}.bias"], bias.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", ["plain", "linear", "conv"])
def test_bytes_are_normalized_where_the_graph_or_its_sidecar_says_so(form: Form, tmp_path: Path) -> None:
    own = load_checkpoint(OURS[2])
    prepared = exported(own, tmp_path / "own.onnx", form, "uint8")
    known = load_graph(tmp_path / "own.onnx", known=prepared)
    assert known.graph.changes.mean == prepared.mean
    assert known.graph.changes.std == prepared.std
    for name in ("stem.conv.weight", "stem.conv.bias"):
        torch.testing.assert_close(
            known.model.state_dict()[name], own.model.state_dict()[name], atol=2e-6, rtol=0
        )
    alone = load_checkpoint(tmp_path / "own.onnx")
    if form == "plain":  # the graph normalizes before the stem
        assert alone.graph.changes == known.graph.changes
    else:
        assert alone.graph.changes.mean == (0.0, 0.0, 0.0)
        assert alone.graph.changes.std == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("form", ["plain", "linear", "conv"])
def test_a_graph_for_any_size_tells_none(form: Form, tmp_path: Path) -> None:
    own = load_checkpoint(OURS[2])
    exported(own, tmp_path / "own.onnx", form, dynamic_size=True)
    assert load_checkpoint(tmp_path / "own.onnx").graph.changes.resolution is None


# --- our own artifacts -----------------------------------------------------------------------------


def test_an_artifact_gives_the_weights_that_its_sidecar_names(
    models: Models, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    made = models.exported("uint8")
    own = load_checkpoint(CHECKPOINT).model
    beside = load_source(checkpoint=made)
    assert "taking the weights that it was made from, timm_v1.safetensors" in caplog.text
    assert largest_difference(beside.reference, own) == 0
    for path in (made, made.with_name(f"{made.name}.json")):
        shutil.copy(path, tmp_path)
    alone = load_source(checkpoint=tmp_path / made.name)
    assert "timm_v1.safetensors, which is not in" in caplog.text
    assert "reading the graph instead" in caplog.text
    assert alone.preprocessing == beside.preprocessing
    np.testing.assert_allclose(
        answers(alone.reference, np.load(IMAGES))[0], answers(own, np.load(IMAGES))[0], atol=1e-5, rtol=0
    )


def test_an_artifact_without_its_sidecar_goes_by_its_metadata(models: Models, tmp_path: Path) -> None:
    made = models.exported("uint8")
    shutil.copy(made, tmp_path)
    source = load_source(checkpoint=tmp_path / made.name)
    assert source.preprocessing == load_source(checkpoint=made).preprocessing
    assert source.prepared_by == "its metadata says"
    np.testing.assert_allclose(
        answers(source.reference, np.load(IMAGES))[0],
        answers(load_checkpoint(CHECKPOINT).model, np.load(IMAGES))[0],
        atol=1e-5,
        rtol=0,
    )
    model = onnx.load(made)
    told = next(item for item in model.metadata_props if item.key == "convnext_edge preprocessing")
    told.value = told.value.replace("resolution", "edge")
    with pytest.raises(CheckpointError, match=r"the metadata of .* is damaged: it has no resolution"):
        load_checkpoint(saved(model, tmp_path))


def _normalize(model: ModelProto) -> None:
    for step in model.graph.node:
        step.input[:] = ["normalized" if name == model.graph.input[0].name else name for name in step.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.25, np.float32), "deviation"))
    step = helper.make_node("Div", [model.graph.input[0].name, "deviation"], ["normalized"])
    model.graph.node.insert(0, step)


def _name_two(model: ModelProto) -> None:
    helper.set_model_props(
        model, {**{p.key: p.value for p in model.metadata_props}, "convnext_edge labels": '["a", "b"]'}
    )


def test_metadata_that_the_graph_contradicts_are_not_taken(
    models: Models, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    model = onnx.load(models.exported("float32"))
    _name_two(model)
    assert load_checkpoint(saved(model, tmp_path)).classes.names == ()
    assert "class names in the metadata of model.onnx are not taken: it names 2 classes" in caplog.text
    _normalize(model)
    with pytest.raises(
        CheckpointError, match="tell two preparations of images: 3 channels, mean and std 0 0 0 0"
    ):
        load_source(checkpoint=saved(model, tmp_path))


def test_configs_beside_a_graph_tell_of_classes_and_images(tmp_path: Path) -> None:
    """A folder as optimum exports it."""
    shutil.copy(FOREIGN / "transformers_v2_script.onnx", tmp_path / "model.onnx")
    named = {str(index): f"kind {index}" for index in range(5)}
    config = {
        "model_type": "convnextv2", "hidden_sizes": [8, 8, 8], "depths": [1, 1, 1], "id2label": named,
    }  # fmt: skip
    processor = {
        "image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 64}, "crop_pct": 0.9,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True, "do_rescale": True,
        "do_resize": True, "resample": 2, "rescale_factor": 1 / 255,
    }  # fmt: skip
    for name, value in (("config.json", config), ("preprocessor_config.json", processor)):
        (tmp_path / name).write_text(json.dumps(value))
    source = load_source(checkpoint=tmp_path)
    assert source.classes == tuple(named.values())
    assert source.preprocessing.mean == (0.5, 0.5, 0.5)
    assert source.preprocessing.resolution == 64
    assert source.assumed == ()


def test_a_quantized_artifact_whose_weights_are_gone_is_refused(models: Models, tmp_path: Path) -> None:
    made = models.quantized()
    assert largest_difference(load_source(checkpoint=made).reference, load_checkpoint(CHECKPOINT).model) == 0
    for path in (made, made.with_name(f"{made.name}.json")):
        shutil.copy(path, tmp_path)
    with pytest.raises(ArtifactError, match=r"was made from timm_v1\.safetensors, which is not in"):
        load_source(checkpoint=tmp_path / made.name)
    with pytest.raises(
        CheckpointError, match=r"is quantized: it holds (De)?[Qq]uantizeLinear '.+'\nGive the"
    ):
        load_checkpoint(made)
