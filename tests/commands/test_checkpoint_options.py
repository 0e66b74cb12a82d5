"""Options of commands that start from a checkpoint: which weights, and what its classes are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.places import TESTS

from convnext_edge import export
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.checkpoints.load_source import OF_CIFAR10, load_source
from convnext_edge.commands.preparation import Given, Images, prepare_job
from convnext_edge.detection import MOST_BOXES
from convnext_edge.errors import UsageError
from convnext_edge.images.definitions import calibration_dir
from convnext_edge.quantization.job import Job

SAVED = TESTS / "fixtures" / "architectures" / "hf_classifier"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as the averaged weights of a training run, with its plain ones."""
    averaged = load_file(calibration_dir() / "demo" / "demo.safetensors")
    plain = {name: tensor * 0.5 for name, tensor in averaged.items()}
    path = tmp_path_factory.mktemp("run") / "run.pth"
    torch.save({"model": plain, "model_ema": averaged}, path)
    return path


def job(given: Given, workspace: Path, numbering: Numbering | None = Numbering()) -> Job:  # noqa: B008  frozen
    images = Images("demo", 16, None, numbering=numbering)
    space = Workspace(workspace)
    return prepare_job(given, images=images, target="openvino", recipe=None, workspace=space, seed=0)


def test_quantizing_starts_from_the_weights_that_were_chosen(trained: Path, tmp_path: Path) -> None:
    heads = {
        weights: job(Given(None, trained, weights), tmp_path).source.reference.head.weight
        for weights in (None, "ema", "plain")
    }
    assert torch.equal(heads[None], heads["ema"])
    assert torch.equal(heads["plain"], heads["ema"] * 0.5)


def test_sidecar_and_file_of_a_quantized_model_have_the_class_names_of_its_images(
    trained: Path, tmp_path: Path
) -> None:
    made = job(Given(None, trained), tmp_path)
    assert made.source.classes == ()
    assert made.describe({}, "ptq").classes == OF_CIFAR10
    # and so does the file itself, which an engine has its notes from
    assert json.loads(made.graph().metadata["convnext_edge", "labels"]) == list(OF_CIFAR10)
    assert job(Given(None, trained), tmp_path, numbering=None).describe({}, "ptq").classes == ()


def test_weights_are_not_chosen_of_an_artifact(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--weights belongs to --checkpoint"):
        job(Given(None, None, "ema"), tmp_path)


def test_a_file_names_the_classes_of_an_export(tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"0": "tabby", "1": "poodle", "2": "shire"}))
    made = export(checkpoint=SAVED, classes=names, resolution=64, workspace=tmp_path / "out")
    assert (made.class_names, made.class_names_from) == (("tabby", "poodle", "shire"), "names.json")
    assert "tabby, poodle, shire (names.json)" in made.summary()
    assert made.artifact.name == "hf_classifier.onnx"
    described = json.loads(made.artifact.with_name("hf_classifier.onnx.json").read_text())
    assert described["classes"] == ["tabby", "poodle", "shire"]


def test_names_for_another_number_of_classes_or_for_no_classes_are_refused(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("tabby\npoodle\n")
    source = load_source(None, SAVED)
    with pytest.raises(UsageError, match="names 2 classes, the model has 3"):
        source.with_class_names(names)
    with pytest.raises(UsageError, match="the task of hf_classifier-embed is embed, which has none"):
        source.for_task("embed").with_class_names(names)


@pytest.mark.parametrize("name", ["candidates", "proposals", "max_detections"])
def test_as_many_boxes_as_no_sidecar_may_tell_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} {2**24} is more than {MOST_BOXES}"):
        export(checkpoint="none.pth", **{name: 2**24})  # type: ignore[arg-type]
