"""An ONNX file with what lies beside it or in it: its sidecar, its metadata, configs of its library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper
from support.models import CHECKPOINT, Models
from support.onnx_files import FOREIGN, IMAGES, answers, largest_difference, saved

from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.errors import ArtifactError, CheckpointError

pytestmark = pytest.mark.slow(seconds=30)


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
