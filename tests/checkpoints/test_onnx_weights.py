"""Weights out of ONNX graphs: as the library answers, as before our own export, or refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from support.models import CHECKPOINT, Models
from support.places import TESTS

from benchmarks.fuzzing.graphs import CHANNELS, CLASSES, RESOLUTION, small_convnext
from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.opsets import HIGHEST, LOWEST
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import Checkpoint, load_checkpoint, load_graph
from convnext_edge.checkpoints.onnx_weights.reading import is_onnx, read_graph
from convnext_edge.checkpoints.traits import Traits
from convnext_edge.errors import ArtifactError, CheckpointError
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.network.convnext import ConvNeXt, as_tuple
from convnext_edge.network.foldings import fold_normalization, fold_second_pointwise
from convnext_edge.network.lowering import Form, lower
from convnext_edge.onnx_graph.tracing import Graph, example_input, write_onnx
from convnext_edge.tasks import output_names

pytestmark = pytest.mark.slow(seconds=60)

FOREIGN = TESTS / "fixtures" / "onnx"
IMAGES = TESTS / "fixtures" / "checkpoints" / "input.npy"
OURS = [
    path
    for folder in ("checkpoints", "architectures")
    for path in sorted((TESTS / "fixtures" / folder).iterdir())
    if path.suffix in (".pth", ".pt", ".safetensors")
]
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


# --- graphs by hand --------------------------------------------------------------------------------


@pytest.fixture
def convnext() -> ModelProto:
    """One block of 4 channels, written node by node."""
    return ModelProto.FromString(small_convnext())


def saved(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def node(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def test_what_a_graph_by_hand_shows(convnext: ModelProto, tmp_path: Path) -> None:
    loaded = load_checkpoint(saved(convnext, tmp_path))
    assert loaded.architecture == Architecture(
        (1,), (CHANNELS,), classes=CLASSES, layer_scale=False, activation="relu", last_norm=False
    )
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in convnext.graph.initializer}
    found = loaded.model.state_dict()
    np.testing.assert_array_equal(found["stem.conv.weight"], held["stem"])
    np.testing.assert_array_equal(found["stages.0.blocks.0.pwconv1.weight"], held["up"].T)
    np.testing.assert_array_equal(found["head.bias"], held["head_bias"])
    assert loaded.graph.changes.resolution == (RESOLUTION, RESOLUTION)


def test_channels_that_the_input_leaves_open_are_those_of_the_stem(
    convnext: ModelProto, tmp_path: Path
) -> None:
    for axis, name in zip(
        convnext.graph.input[0].type.tensor_type.shape.dim,
        ("batch_size", "num_channels", "height", "width"),
        strict=True,
    ):
        axis.dim_param = name
    loaded = load_checkpoint(saved(convnext, tmp_path))
    assert loaded.architecture.channels == 3
    assert loaded.graph.changes.resolution is None


def test_nodes_may_stand_in_any_order(convnext: ModelProto, tmp_path: Path) -> None:
    nodes = list(convnext.graph.node)
    del convnext.graph.node[:]
    convnext.graph.node.extend(reversed(nodes))
    assert load_checkpoint(saved(convnext, tmp_path)).architecture.depths == (1,)
    first = node(convnext, "c")
    first.input[0] = "ct"
    with pytest.raises(CheckpointError, match="nodes that read each other in a circle"):
        load_checkpoint(saved(convnext, tmp_path))


@pytest.mark.parametrize(("brightest", "kind"), [(1.0, "float32"), (255.0, "float32"), (255.0, "uint8")])
def test_a_normalization_in_the_graph_is_told(
    brightest: float, kind: str, convnext: ModelProto, tmp_path: Path
) -> None:
    mean, std = np.array([0.5, 0.4, 0.3], np.float32), np.array([0.25, 0.2, 0.125], np.float32)
    shape = (1, 3, 1, 1)
    for name, values in (("mean", mean * brightest), ("std", std * brightest)):
        convnext.graph.initializer.append(
            numpy_helper.from_array(values.astype(np.float32).reshape(shape), name)
        )
    steps = [
        helper.make_node("Cast", ["x"], ["x0"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["x0", "mean"], ["x1"]),
        helper.make_node("Div", ["x1", "std"], ["x2"]),
    ]
    node(convnext, "c").input[0] = "x2"
    for step in reversed(steps):
        convnext.graph.node.insert(0, step)
    convnext.graph.input[0].type.tensor_type.elem_type = getattr(
        TensorProto, {"float32": "FLOAT", "uint8": "UINT8"}[kind]
    )
    source = load_source(checkpoint=saved(convnext, tmp_path))
    assert source.prepared_by.startswith("its graph normalizes pixels")
    np.testing.assert_allclose(source.preprocessing.mean, mean, atol=1e-6)
    np.testing.assert_allclose(source.preprocessing.std, std, atol=1e-6)


def _softmax(model: ModelProto) -> None:
    node(model, "y").output[0] = "raw"
    model.graph.node.append(helper.make_node("Softmax", ["raw"], ["y"], "probabilities"))


def _foreign(model: ModelProto) -> None:
    activation = node(model, "a")
    activation.op_type, activation.domain = "FastGelu", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _quick_gelu(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(1.702, np.float32), "slope"))
    at = list(model.graph.node).index(node(model, "a"))
    del model.graph.node[at]
    for index, step in enumerate(
        [
            helper.make_node("Mul", ["ub", "slope"], ["scaled"]),
            helper.make_node("Sigmoid", ["scaled"], ["gate"]),
            helper.make_node("Mul", ["ub", "gate"], ["a"], "quick"),
        ]
    ):
        model.graph.node.insert(at + index, step)


def _second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))


def _no_residual(model: ModelProto) -> None:
    node(model, "s").input[0] = "vt"


def _strided(model: ModelProto) -> None:
    stem = node(model, "c")
    next(attribute for attribute in stem.attribute if attribute.name == "strides").ints[:] = [2, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_softmax, "Softmax 'probabilities' is an operator that no ConvNeXt has"),
        (_foreign, r"com\.microsoft\.FastGelu 'a', an operator of one runtime"),
        (_quick_gelu, "Mul 'quick' stands where an activation"),
        (_second_input, "has the inputs x, mask, and not one of images"),
        (_no_residual, "'n' stands where the other side of the residual sum Add 's' was expected"),
        (_strided, "stands where a stem of square patches"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(
    change: Callable[[ModelProto], None], message: str, convnext: ModelProto, tmp_path: Path
) -> None:
    change(convnext)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved(convnext, tmp_path))


def test_options_that_contradict_the_graph_are_refused(convnext: ModelProto, tmp_path: Path) -> None:
    path = saved(convnext, tmp_path)
    assert load_checkpoint(path, Traits(activation="relu", norm_eps=1e-6, pooling="avg")).assumed == ()
    for asked, message in (
        (Traits(activation="gelu"), "has activation relu, as its graph shows, and not gelu"),
        (Traits(norm_eps=1e-5), "has norm eps 1e-06, as its graph shows, and not 1e-05"),
        (Traits(pooling="max"), "has pooling avg, as its graph shows, and not max"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path, asked)


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/hostname"])
def test_weights_apart_lie_in_the_folder_of_the_file(
    place: str, convnext: ModelProto, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(10**4))
    folder = tmp_path / "model"
    folder.mkdir()
    tensor = convnext.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    with pytest.raises(CheckpointError, match=r"cannot read .* as ONNX"):
        load_checkpoint(saved(convnext, folder))


def test_a_reference_that_differs_is_refused_by_the_first_part_that_does() -> None:
    path = FOREIGN / "timm_v1_dynamo.onnx"
    model = load_checkpoint(path).model
    with torch.no_grad():
        model.stages[2].blocks[0].pwconv2.bias.add_(0.5)
    with pytest.raises(
        CheckpointError, match=r"does not compute the same: .* differs is stages\.2\.blocks\.0 "
    ):
        read_graph(path).prove(model)


def test_an_onnx_file_is_known_by_its_content(convnext: ModelProto, tmp_path: Path) -> None:
    path = saved(convnext, tmp_path)
    renamed = path.rename(tmp_path / "model.bin")
    assert is_onnx(renamed)
    assert load_checkpoint(renamed).layout == "onnx"
    assert not any(is_onnx(path) for path in OURS)
    text = tmp_path / "model.onnx"
    text.write_text("hello")
    with pytest.raises(CheckpointError, match="neither a safetensors nor a PyTorch file"):
        load_checkpoint(text)
