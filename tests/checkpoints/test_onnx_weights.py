"""Weights out of ONNX files: as the library answers, or as before our own export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.onnx_files import FOREIGN, IMAGES, OURS, answers, largest_difference
from support.places import TESTS

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.artifacts.opsets import HIGHEST, LOWEST
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import Checkpoint, load_checkpoint, load_graph
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.network.foldings import fold_normalization, fold_second_pointwise
from convnext_edge.network.lowering import lower
from convnext_edge.onnx_graph.tracing import Graph, example_input, write_onnx
from convnext_edge.tasks import output_names

pytestmark = pytest.mark.slow(seconds=60)

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
