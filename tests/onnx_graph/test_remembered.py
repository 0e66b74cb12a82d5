"""What `support/quick_export.py` remembers of a module alike is what the exporter writes, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from onnx import ModelProto
from support import detectors
from support.models import CHECKPOINT, CHECKPOINT_V2, RESOLUTION, Models
from support.places import TESTS
from support.quick_trace import OPERATORS
from torch import nn
from torch.fx import GraphModule

from convnext_edge import export, quantize
from convnext_edge.artifacts.artifact import Form
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.network.exporter import exporter
from convnext_edge.network.lowering import lower
from convnext_edge.onnx_graph import tracing
from convnext_edge.onnx_graph.naming import strip_notes
from convnext_edge.onnx_graph.tracing import example_input

pytestmark = pytest.mark.slow(seconds=20)
# As other tests export them, so that each structure is traced once for all.
MODELS: dict[str, dict[str, Any]] = {
    "segmenter": {
        "checkpoint": TESTS / "fixtures" / "segmentation" / "hf_upernet",
        "resolution": (96, 160),
        "label_zero": "none",
    },
    "detector": {"checkpoint": detectors.CHECKPOINT, "resolution": detectors.SIZE, **detectors.SETTINGS},
}


@pytest.mark.parametrize(
    ("form", "checkpoint"),
    [("plain", CHECKPOINT), ("linear", CHECKPOINT), ("conv", CHECKPOINT), ("linear", CHECKPOINT_V2)],
    ids=["plain", "linear", "conv", "linear-v2"],
)
def test_a_module_alike_gets_its_own_weights(
    form: Form, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_checkpoint(checkpoint).model
    module = lower(model, form, preprocessing=Preprocessing(resolution=RESOLUTION))
    given = example_input((3, RESOLUTION, RESOLUTION), "float32"), ["logits"]
    with exporter():
        tracing.trace(module, *given)
    assert_remembered(monkeypatch, module, *given)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_of_another_task_gets_its_own_weights(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with calls(monkeypatch) as traced:
        export(workspace=tmp_path, **MODELS[kind])
    assert_remembered(monkeypatch, *traced[-1])


@pytest.mark.parametrize(("target", "input_type"), [("openvino", "float32"), ("onnxruntime", "uint8")])
def test_a_quantized_graph_alike_gets_its_own_codes(
    models: Models, target: str, input_type: InputType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with calls(monkeypatch) as traced:
        quantize(
            models.exported(input_type),
            calib=models.photos,
            samples=2,
            target=target,
            timing=False,
            workspace=tmp_path,
        )
    graph = traced[-1][0]
    assert isinstance(graph, GraphModule)
    assert {str(node.target) for node in graph.graph.nodes} >= OPERATORS.keys()
    assert_remembered(monkeypatch, *traced[-1])


@contextmanager
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[nn.Module, Any, Any, int]]]:
    """What is traced: the module, its example, the names of its outputs, and the opset."""
    traced: list[tuple[nn.Module, Any, Any, int]] = []
    trace = tracing.trace

    def noted(*given: Any) -> ModelProto:
        traced.append(given)
        return trace(*given)

    with monkeypatch.context() as patch:
        patch.setattr(tracing, "trace", noted)
        yield traced


def assert_remembered(monkeypatch: pytest.MonkeyPatch, module: nn.Module, *given: Any) -> None:
    """Compare what is remembered of a module, which gets other values, with what is written of it anew."""

    def asked(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the exporter was asked again")

    change(module)
    with exporter():
        expected = tracing.trace.__wrapped__(module, *given)  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setattr(torch.onnx, "export", asked)
            found = tracing.trace(module, *given)
    strip_notes(expected)
    strip_notes(found)
    assert found.SerializeToString() == expected.SerializeToString()


def change(module: nn.Module) -> None:
    """Give a module other values, of which more are equal than before."""
    torch.manual_seed(1)
    for held in [*module.parameters(), *module.buffers()]:
        if held.dtype == torch.int8:
            held.random_(-127, 128)
        elif held.is_floating_point() and held.dim() > 1:
            held.detach().uniform_(0.5, 1.5)
        elif held.is_floating_point():
            held.detach().fill_(0.75)
    for node in module.graph.nodes if isinstance(module, GraphModule) else ():
        if str(node.target) in OPERATORS:
            tensor, scale, zero_point, *rest = node.args
            node.args = (tensor, 1.25 * scale, zero_point // 16, *rest)
    if isinstance(module, GraphModule):
        module.recompile()
