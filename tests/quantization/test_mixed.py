"""Recipes beside W8A8: weights alone in INT8, activations of 16 bits, and where each is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.int8_graphs import MULTIPLICATIONS
from support.models import Models

from convnext_edge import build, quantize, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.quantize.command import Quantize
from convnext_edge.commands.quantize.gate import Gate
from convnext_edge.errors import QuantizationError, RecipeError
from convnext_edge.evaluation.gates import Judgement
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.targets.registry import find_target

WEIGHTS_ONLY, WIDE, MIXED = (
    'activation = "float"',
    'activation = "uint16"',
    'sixteen_bit = ["stages.3.*"]',
)
WIDENED = {name for name in MULTIPLICATIONS if name.startswith("stages.3.")}
Make = Callable[..., Quantize]


@pytest.fixture(scope="module")
def make(models: Models, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Quantizes with a recipe, each pair of recipe and target once."""
    folder = tmp_path_factory.mktemp("mixed")

    @cache
    def made(recipe: str, target: str = "onnxruntime", max_drop: float | None = None) -> Quantize:
        (folder / "mine.toml").write_text(recipe)
        return quantize(
            models.exported(),
            calib=str(photos),
            samples=16,
            target=target,
            recipe=folder / "mine.toml",
            max_drop=max_drop,
            timing=False,
            output=folder / f"{len(list(folder.iterdir()))}.onnx",
            workspace=models.workspace,
        )

    return made


def activation_types(path: Path) -> Counter[int]:
    """Types of the codes that QuantizeLinear puts out, by their zero points."""
    graph = onnx.load(path).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    return Counter(types[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear")


def sqnr(models: Models, photos: Path, path: Path) -> float:
    found = validate(path, data=str(photos), workspace=models.workspace).sqnr_db
    assert found is not None
    return found


# Weights only


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_weights_alone_are_int8(make: Make, target: str) -> None:
    made = make(WEIGHTS_ONLY, target)
    assert set(made.quantized_layers) == MULTIPLICATIONS
    assert open_artifact(made.artifact).description.precision == "w8a32"
    found = Counter(node.op_type for node in onnx.load(made.artifact).graph.node)
    assert (found["DequantizeLinear"], found["QuantizeLinear"]) == (len(MULTIPLICATIONS), 0)


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_the_file_and_the_engine_are_smaller_than_fp32(
    models: Models, make: Make, tmp_path: Path, target: str
) -> None:
    """INT8 weights take a quarter; what stays float is a large part of so small a model.

    OpenVINO keeps weights apart from the text of the graph, which of so small a model is as large.
    """
    made = make(WEIGHTS_ONLY, target)
    engine = build(made.artifact, output=tmp_path / f"engine{find_target(target).suffix}")
    fp32 = models.exported().stat().st_size
    assert made.bytes < 0.75 * fp32
    weights = engine.engine.with_suffix(".bin")
    assert (weights.stat().st_size if target == "openvino" else engine.bytes) < 0.75 * fp32


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_no_runtime_quantizes_the_activations_by_itself(
    models: Models, photos: Path, make: Make, tmp_path: Path, target: str
) -> None:
    """Both would: ONNX Runtime in MatMulNBits, OpenVINO in its layers with compressed weights."""
    path = make(WEIGHTS_ONLY, target).artifact
    engine = build(path, output=tmp_path / f"engine{find_target(target).suffix}").engine
    images = np.random.default_rng(0).standard_normal((8, 3, 64, 64)).astype(np.float32)
    answers = {}
    for name, file, where in (("file", path, target), ("engine", engine, target), ("exact", path, "torch")):
        with find_target(where).open_session(open_artifact(file), threads=1) as session:
            answers[name] = session.run(images)
    for one, other in combinations(answers, 2):
        assert np.abs(answers[one] - answers[other]).max() < 1e-4, (one, other)


# 16 bits


def test_wide_activations_have_16_bits_and_lose_no_more_than_weights_alone(
    models: Models, photos: Path, make: Make
) -> None:
    wide, alone = make(WIDE).artifact, make(WEIGHTS_ONLY).artifact
    assert activation_types(wide) == {TensorProto.UINT16: len(MULTIPLICATIONS) - 1}, "all but the head's"
    assert open_artifact(wide).description.precision == "w8a16"
    # whose head has INT8 weights, too
    assert sqnr(models, photos, wide) > sqnr(models, photos, alone) - 0.2


def test_single_layers_may_be_wide(models: Models, photos: Path, make: Make) -> None:
    mixed = make(MIXED).artifact
    assert activation_types(mixed) == {
        TensorProto.UINT16: len(WIDENED),
        TensorProto.UINT8: len(MULTIPLICATIONS - WIDENED) - 1,
    }
    assert open_artifact(mixed).description.precision == "w8a8a16"
    paths = (models.quantized("onnxruntime"), mixed, make(WIDE).artifact)
    narrow, some, all_of_them = (sqnr(models, photos, path) for path in paths)
    assert narrow < some < all_of_them


def test_wide_codes_mean_the_same_in_pytorch_and_onnxruntime(models: Models, make: Make) -> None:
    artifact = open_artifact(make(MIXED).artifact)
    images = np.random.default_rng(0).standard_normal((8, 3, 64, 64)).astype(np.float32)
    compared = Comparison()
    answers = [find_target(name).open_session(artifact).run(images) for name in ("torch", "onnxruntime")]
    compared.add(*answers, np.full(8, -1))
    assert compared.agreement == 1
    assert compared.sqnr_db is not None
    assert compared.sqnr_db > 45


@pytest.mark.slow(seconds=25)
def test_the_gate_may_widen_the_costliest_layers(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = iter(["too much lost", "too much lost", ""])
    monkeypatch.setattr(
        Gate, "judge", lambda _gate, _found, _source: Judgement({"drop_points": 0.0}, {"drop": next(faults)})
    )
    made = make('fallback = "sixteen_bit"', max_drop=1)
    assert made.kept_float == ()
    assert len(made.sixteen_bit) == 2
    assert set(made.quantized_layers) == MULTIPLICATIONS - {"head"}
    assert activation_types(made.artifact)[TensorProto.UINT16] == 2
    description = open_artifact(made.artifact).description
    assert description.precision == "w8a8a16"
    assert description.recipe is not None
    assert description.recipe["sixteen_bit"] == list(made.sixteen_bit)


# Refusals


@pytest.mark.parametrize(
    ("target", "recipe", "said"),
    [
        ("openvino", WIDE, "target openvino does not run uint16 activations"),
        ("openvino", MIXED, "target openvino does not run uint16 activations"),
        ("openvino", 'fallback = "sixteen_bit"', "target openvino does not run uint16 activations"),
        ("tensorrt", WEIGHTS_ONLY, "target tensorrt does not run float activations"),
        ("tensorrt", 'activation = "uint8"', "target tensorrt does not run uint8 activations"),
        ("onnxruntime", f'{WEIGHTS_ONLY}\nsixteen_bit = ["head"]', "sixteen_bit means nothing with"),
    ],
)
def test_what_a_target_does_not_run_is_refused(make: Make, target: str, recipe: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        make(recipe, target)
    assert caught.value.hint


def test_a_pattern_of_wide_layers_that_no_layer_has_is_refused(make: Make) -> None:
    with pytest.raises(QuantizationError, match=r"sixteen_bit 'haed' matches no layer"):
        make('sixteen_bit = ["haed"]')
