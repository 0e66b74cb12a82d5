"""What model files say of themselves, read back by ONNX and by OpenVINO."""

from __future__ import annotations

import json
from dataclasses import replace

import onnx
import pytest
from support.models import Models
from support.small_artifacts import DESCRIPTION

from convnext_edge.artifacts.artifact import Description
from convnext_edge.artifacts.metadata import metadata
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.onnx_graph.files import read_metadata

SQUASHED = Preprocessing(384, 1.0, resize_mode="squash")
PADDED = Preprocessing(
    448, 1.0, "bilinear", (0.0,) * 3, (1 / 255,) * 3, resize_mode="pad", pad_color=(255,) * 3
)


def info(**changes: object) -> dict[str, str]:
    described: Description = replace(DESCRIPTION, **changes)  # type: ignore[arg-type]
    return {key: value for (section, key), value in metadata(described).items() if section == "model_info"}


def test_the_wrapper_of_model_api_is_told_what_it_needs() -> None:
    assert info(preprocessing=SQUASHED, classes=("tabby cat", "dog")) == {
        "model_type": "Classification",
        "multilabel": "False",
        "resize_type": "standard",
        "interpolation_mode": "CUBIC",
        "reverse_input_channels": "False",
        "mean_values": "123.675 116.28 103.53",  # of ImageNet, in 0..255
        "scale_values": "58.395 57.12 57.375",
        "labels": "tabby_cat dog",
    }


def test_padding_and_raw_pixels_are_told() -> None:
    found = info(preprocessing=PADDED, classes=(), task="embed")
    assert (found["resize_type"], found["pad_value"]) == ("fit_to_window_letterbox", "255")
    assert (found["mean_values"], found["scale_values"]) == ("0 0 0", "1 1 1")
    assert "model_type" not in found
    assert "labels" not in found


def test_an_engine_that_takes_bytes_normalizes_them_itself() -> None:
    assert "scale_values" not in info(input_type="uint8")


def test_files_tell_how_images_are_prepared(models: Models) -> None:
    for path in (models.exported(), models.quantized(), models.quantized("onnxruntime", "ort")):
        described = open_artifact(path).description
        told = read_metadata(onnx.load(path))
        assert told == metadata(described), path
        assert json.loads(told["convnext_edge", "preprocessing"]) == described.preprocessing.to_json()


@pytest.mark.parametrize("place", [("model_info", "mean_values"), ("convnext_edge", "images")])
def test_an_engine_of_openvino_has_the_same_notes(models: Models, place: tuple[str, str]) -> None:
    import openvino

    graph = models.quantized()
    engine = openvino.Core().read_model(models.engine("openvino", graph))
    assert engine.get_rt_info(list(place)).astype(str) == read_metadata(onnx.load(graph))[place]
    options = engine.get_rt_info(["runtime_options", "INFERENCE_PRECISION_HINT"])
    assert options.astype(str) == "f32"
