"""The batch of an exported graph varies, also where other numbers of the model are two as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import onnxscript.optimizer
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.errors import ExportError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.lowering import lower
from convnext_edge.onnx_graph import files, tracing
from convnext_edge.onnx_graph.tracing import Graph, example_input, free_batch, trace, write_onnx

FORMS: tuple[Form, ...] = ("plain", "linear", "conv")
CLASSES = (*range(1, 33), 49, 64, 100, 196)
MANY = (
    197  # classes of the model that has the first of them as well; no other number of its graph is the same
)


def difference(architecture: Architecture, form: Form, resolution: int, path: Path) -> float:
    """Largest difference of a logit to PyTorch, once exported."""
    model, lowered = small_model(architecture, form, resolution)
    write_onnx(lowered, example_input((3, resolution, resolution), "float32"), path, Graph(["logits"]))
    return difference_in(path, model, resolution, architecture.classes)


def small_model(architecture: Architecture, form: Form, resolution: int) -> tuple[ConvNeXt, nn.Module]:
    """A model with random weights, and the same lowered."""
    torch.manual_seed(0)
    model = ConvNeXt(architecture).eval()
    return model, lower(model, form, preprocessing=Preprocessing(resolution=resolution))


def difference_in(path: Path, model: ConvNeXt, resolution: int, classes: int) -> float:
    """Largest difference of a logit to the first `classes` in PyTorch, for one image and for three."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differences = []
    for batch in (1, 3):
        images = example_input((3, resolution, resolution), "float32", batch=batch, seed=batch)
        with torch.inference_mode():
            expected = model(images).numpy()[:, :classes]
        (found,) = session.run(None, {"image": images.numpy()})
        assert found.shape == (batch, classes)
        differences.append(float(np.abs(found - expected).max()))
    return max(differences)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.slow(seconds=20)
def test_models_of_any_number_of_classes_are_exported(
    form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's exporter, which takes longest, runs once; what follows it sees each number of classes."""
    architecture = Architecture(depths=(0,), dims=(4,), patch=2, classes=MANY)  # a stem and a head
    model, lowered = small_model(architecture, form, 4)
    example = example_input((3, 4, 4), "float32")
    # each graph is made anew: the exporter is replaced below
    monkeypatch.setattr(tracing, "trace", tracing.trace.__wrapped__)  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(onnxscript.optimizer, "optimize", lambda *_, **__: None)
        exported = trace(lowered, example, ["logits"])
    for classes in CLASSES:
        program = torch.onnx.ONNXProgram(onnx_ir.from_proto(with_first(classes, exported)), None)
        monkeypatch.setattr(torch.onnx, "export", lambda *_, program=program, **__: program)
        write_onnx(lowered, example, tmp_path / "model.onnx", Graph(["logits"]))
        assert difference_in(tmp_path / "model.onnx", model, 4, classes) < 1e-5, f"{classes} classes"


def with_first(classes: int, exported: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of `MANY` classes as the exporter would write it for the first of them only."""
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    for tensor in model.graph.initializer:
        if MANY in tensor.dims:
            array = numpy_helper.to_array(tensor).take(range(classes), axis=list(tensor.dims).index(MANY))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for attribute in (attribute for node in model.graph.node for attribute in node.attribute):
        attribute.ints[:] = [classes if number == MANY else number for number in attribute.ints]
    for value in [*model.graph.value_info, *model.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value == MANY:
                dim.dim_value = classes
    return model


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("dims", "resolution"), [((2, 3), 4), ((2, 3), 8), ((2, 2), 12), ((3, 2), 8), ((1, 2), 4)]
)
@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.slow
def test_dims_and_feature_maps_of_two_and_three_are_exported(
    form: Form, dims: tuple[int, ...], resolution: int, grn: bool, tmp_path: Path
) -> None:
    architecture = Architecture(depths=(1, 1), dims=dims, patch=2, classes=3, grn=grn, layer_scale=not grn)
    assert difference(architecture, form, resolution, tmp_path / "model.onnx") < 1e-4


def test_a_constant_that_others_read_too_stays_as_it_is() -> None:
    """As onnxscript leaves it: [2, 3] is the shape of two images' logits and the axes of a mean."""
    nodes = [
        helper.make_node("ReduceMean", ["image", "shared"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "shared"], ["logits"]),
    ]
    value = helper.make_tensor_value_info
    shapes = {"image": (2, 3, 4, 4), "mean": (2, 3, 1, 1), "logits": (2, 3)}
    image, mean, logits = (value(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    shared = numpy_helper.from_array(np.array([2, 3]), "shared")
    model = helper.make_model(
        helper.make_graph(nodes, "g", [image], [logits], [shared], value_info=[mean]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    free_batch(model, 2)
    onnx.checker.check_model(model, full_check=True)
    constants = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in model.graph.initializer}
    assert constants == {"shared": [2, 3], "shared_batch": [-1, 3]}
    assert [list(node.input) for node in model.graph.node] == [["image", "shared"], ["mean", "shared_batch"]]


@pytest.mark.parametrize(("operator", "said"), [("Rellu", "Rellu"), ("ReduceMean", "infer")])
def test_a_graph_that_is_not_valid_is_an_error_of_ours(tmp_path: Path, operator: str, said: str) -> None:
    """The checker knows the first for no operator; for the second, shape inference finds no such axis."""
    node = helper.make_node(
        operator, ["image", "axes"] if operator == "ReduceMean" else ["image"], ["logits"]
    )
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (2, 3)) for n in ("image", "logits")]
    axes = numpy_helper.from_array(np.array([7]), "axes")
    made = helper.make_graph([node], "g", values[:1], values[1:], [axes])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(ExportError, match=rf"(?i)wrote an invalid graph: .*{said}"):
        files.save(model, tmp_path / "model.onnx")
