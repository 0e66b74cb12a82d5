"""sensitivity: what each layer costs and gains in INT8, and the gate of quantize that goes by it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from support.int8_graphs import MULTIPLICATIONS
from support.models import RESOLUTION, Models

from convnext_edge import quantize, sensitivity
from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.quantize.command import Quantize
from convnext_edge.commands.quantize.gate import Gate
from convnext_edge.commands.sensitivity import Sensitivity
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.gates import Gates, Judgement, judge_classes
from convnext_edge.evaluation.layer_costs import PartwiseRun, cost
from convnext_edge.evaluation.layer_values import activation_values, weight_values
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.records import read_records
from convnext_edge.images.noise import noise
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.lowering import LoweredConvNeXt, lower
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.quantization.observers import ActivationRange, ValueCounts
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.targets.onnxruntime import node_times, nodes_of
from convnext_edge.targets.registry import find_target


@pytest.fixture(scope="module")
def found(models: Models, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Sensitivity:
    """Of the recipe as it is."""
    return sensitivity(models.exported(), calib=str(photos), samples=8, runs=2, workspace=models.workspace)


def test_every_quantized_layer_is_told_of_worst_first(found: Sensitivity) -> None:
    assert {row.name for row in found.layers} == MULTIPLICATIONS
    costs = [row.kl for row in found.layers]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 0
    assert found.images == 8


def test_one_layer_alone_loses_less_than_all_together(found: Sensitivity) -> None:
    """35 dB is what all together keep on this model."""
    decibels = [row.sqnr_db for row in found.layers if row.sqnr_db is not None]
    assert len(decibels) == len(MULTIPLICATIONS)
    assert min(decibels) > 30
    assert max(decibels) > 45


def test_openvino_tells_the_time_of_each_layer(found: Sensitivity) -> None:
    assert all(row.latency_saved_ms is not None for row in found.layers)


def test_what_is_saved_is_the_difference_of_the_times(found: Sensitivity) -> None:
    for row in found.layers:
        assert row.latency_saved_ms is not None
        assert row.fp32_ms is not None
        assert row.int8_ms is not None
        assert row.latency_saved_ms == pytest.approx(row.fp32_ms - row.int8_ms, abs=2e-4)


def test_the_table_ends_with_the_worst_layer(found: Sensitivity) -> None:
    header, *rows = found.summary().splitlines()[1:]
    assert header.startswith("layer alone in INT8, worst last")
    assert len(rows) == len(found.layers)
    assert rows[-1].split()[0] == found.layers[0].name
    assert f"--keep-float {found.layers[0].name}" in found.next_command()


def test_the_values_of_the_worst_layers_are_told(found: Sensitivity) -> None:
    assert [row.weights is not None for row in found.layers] == [
        number < 6 for number in range(len(found.layers))
    ]
    for row in found.layers[:6]:
        assert row.weights is not None
        assert (row.activations is None) == (row.name == "head"), "whose input OpenVINO's recipe leaves float"
        for values in filter(None, (row.weights, row.activations)):
            assert len(values.edges) == len(values.shares) + 1
            assert sum(values.shares) == pytest.approx(1, abs=2e-3)
            assert values.low < 0 < values.high
        assert (row.weights.low, row.weights.high, row.weights.clipped) == (-127, 127, 0)
        assert row.activations is None or row.activations.clipped < 0.01


def test_weights_are_told_in_codes_of_their_channel() -> None:
    """By hand: scales 0.5 and 0.1; of four weights, -60 is 120 codes, and 13 is 130, which is cut off."""
    layer: Any = SimpleNamespace(name="one", weight_matrix=torch.tensor([[-60.0, 0.0], [13.0, 0.1]]))
    calibrated: Any = SimpleNamespace(weight_scales={"one": torch.tensor([0.5, 0.1])})
    values = weight_values(layer, calibrated, 127)
    assert (values.edges[0], values.edges[-1]) == (-130, 130)
    assert values.clipped == 0.25
    assert [share for share in values.shares if share] == [0.25, 0.5, 0.25]


def test_inputs_beyond_the_range_are_cut_off() -> None:
    """By hand: a scale of 0.1 and zero point 10 cover -1 to 24.5; half is below, a tenth above."""
    counts = ValueCounts(torch.tensor([5.0, 4.0, 0.0, 0.0, 1.0]), -10.0, 40.0)  # centres -5, 5, 15, 25, 35
    job: Any = SimpleNamespace(recipe=Recipe())
    calibrated: Any = SimpleNamespace(seen={"one": counts}, ranges={"one": ActivationRange(0.1, 10)})
    values = activation_values("one", job, calibrated)
    assert values is not None
    assert (values.low, values.high) == (-1.0, 24.5)
    assert values.clipped == pytest.approx(0.6)
    assert activation_values("other", job, calibrated) is None


def test_the_result_is_kept_for_the_report(found: Sensitivity, models: Models) -> None:
    records = [one for one in read_records(Workspace(models.workspace)) if one["kind"] == "sensitivity"]
    kept = [one for one in records if one["result"]["layers"] == found.to_json()["layers"]]
    assert len(kept) == 1
    assert kept[0]["model"]["weights"] == open_artifact(models.exported()).description.weights.sha256  # type: ignore[union-attr]


@pytest.mark.parametrize("input_type", ["float32", "uint8"])
def test_onnxruntime_tells_the_time_of_each_layer(models: Models, input_type: str) -> None:
    path = models.quantized("onnxruntime", input_type=input_type)  # type: ignore[arg-type]
    artifact = open_artifact(path)
    image = noise((3, RESOLUTION, RESOLUTION), artifact.description.input_type, batch=1)
    times = find_target("onnxruntime").time_layers(path, image, runs=2, threads=1)
    assert times is not None
    assert set(artifact.description.quantized_layers) <= times.keys()
    assert all(layer.milliseconds > 0 and layer.operator for layer in times.values())


def event(name: str, kind: str, microseconds: int, start: int) -> dict[str, object]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "dur": microseconds,
        "ts": start,
        "args": {"op_name": kind},
    }


def test_quantizing_its_input_counts_as_part_of_a_layer() -> None:
    """As ONNX Runtime's profiler writes it, but for the order, which it does not promise."""
    once = [
        event("pwconv1", "MatMulIntegerToFloat", 5000, start=40),
        event("norm", "LayerNormalization", 2000, start=10),
        event("q", "QuantizeLinear", 1000, start=20),
        event("permute", "Transpose", 500, start=30),
        event("gelu", "BiasGelu", 3000, start=50),
    ]
    again = [
        {**found, "ts": int(str(found["ts"])) + 100, "dur": 2 * int(str(found["dur"]))} for found in once
    ]
    session = {"cat": "Session", "name": "model_run", "dur": 1, "ts": 0, "args": {}}
    assert node_times(nodes_of([session, *again, *once])) == {
        "norm": [2, 4],
        "permute": [0.5, 1],
        "pwconv1": [6, 12],
        "gelu": [3, 6],
    }


@pytest.mark.parametrize("form", ["conv", "linear"])
@pytest.mark.parametrize("input_type", ["float32", "uint8"])
def test_a_model_is_the_chain_of_its_parts(form: str, input_type: str) -> None:
    """Each layer belongs to one part, from which the model may run anew."""
    reference = ConvNeXt(Architecture((1, 11, 1, 1), (8, 8, 8, 8), classes=5)).eval()
    given: Any = {"preprocessing": Preprocessing(resolution=32), "input_type": input_type}
    module = lower(reference, form, **given)  # type: ignore[arg-type]
    assert isinstance(module, LoweredConvNeXt)
    batch = example_input((3, 32, 32), input_type)  # type: ignore[arg-type]
    with torch.inference_mode():
        chain = PartwiseRun(module, batch)
        assert torch.equal(only(chain.answers), module(batch))
        for name, layer in module.layers().items():
            assert torch.equal(only(chain.rerun(layer)), module(batch))
            before = layer.weight.clone()
            layer.weight.mul_(2)
            assert torch.equal(only(chain.rerun(layer)), module(batch)), name
            layer.weight.copy_(before)


def test_cost_is_divergence_and_signal_over_noise() -> None:
    exact = torch.tensor([[3.0, 4.0]])
    same = cost("layer", {0: exact}, {0: exact}, classifies=True)
    assert (same.sqnr_db, same.kl) == (None, 0.0)
    changed = {0: exact + torch.tensor([[0.0, 0.5]])}
    other = cost("layer", {0: exact}, changed, classifies=True)
    assert other.sqnr_db == pytest.approx(20)  # 25 over 0.25
    p = torch.tensor([3.0, 4.0]).softmax(0)
    q = torch.tensor([3.0, 4.5]).softmax(0)
    assert other.kl == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-4)


def only(answers: dict[int, torch.Tensor]) -> torch.Tensor:
    (answer,) = answers.values()
    return answer


def test_the_worst_output_tells_the_cost_of_other_tasks() -> None:
    exact = {0: torch.full((2, 4), 2.0), 3: torch.ones(2, 3, 1, 1)}
    changed = {0: exact[0] + 0.02, 3: exact[3] + 0.1}
    found = cost("layer", exact, changed, classifies=False)
    assert found.sqnr_db == pytest.approx(20, abs=1e-3)
    assert found.kl == pytest.approx(0.01, rel=1e-3)


# The gate of quantize


def gated(models: Models, photos: Path, folder: Path, max_drop: float) -> Quantize:
    return quantize(
        models.exported(),
        calib=str(photos),
        samples=8,
        max_drop=max_drop,
        timing=False,
        output=folder / "int8.onnx",
        workspace=models.workspace,
    )


def test_a_gate_that_holds_keeps_nothing_float(models: Models, photos: Path, tmp_path: Path) -> None:
    made = gated(
        models, photos, tmp_path, 12
    )  # the reference gets one of the eight images right: 12.5 points
    assert (made.passed, made.kept_float, made.slowdown) == (True, (), None)
    assert set(made.quantized_layers) == MULTIPLICATIONS


def judged(drop: float) -> Judgement:
    """At a gate of one point."""
    return Judgement(
        {"drop_points": drop}, {"drop": "" if drop <= 1 else f"{drop:.2f} points lost, 1 allowed"}
    )


@pytest.mark.slow(seconds=20)
def test_layers_go_back_to_float_costliest_first(
    models: Models, photos: Path, tmp_path: Path, found: Sensitivity, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgements = iter([judged(3.0), judged(2.0), judged(0.5)])
    monkeypatch.setattr(Gate, "judge", lambda _gate, _found, _source: next(judgements))
    made = gated(models, photos, tmp_path, 1)
    assert made.kept_float == tuple(row.name for row in found.layers[:2])
    assert set(made.quantized_layers) == MULTIPLICATIONS - set(made.kept_float)
    assert (made.passed, made.drop_points) == (True, 0.5)
    assert made.slowdown is not None
    assert made.slowdown > 0
    weights = {tensor.name: tensor.data_type for tensor in onnx.load(made.artifact).graph.initializer}
    assert {weights[f"{name}.weight"] for name in made.kept_float} == {onnx.TensorProto.FLOAT}


def test_without_labels_a_changed_answer_counts_as_a_drop() -> None:
    exact, other = np.eye(4, 10, dtype=np.float32), np.eye(4, 10, k=1, dtype=np.float32)
    other[:3] = exact[:3]
    for labels, drop in ((np.full(4, -1), 25.0), (np.array([0, 1, 2, 9]), 0.0)):
        compared = Comparison()
        compared.add(exact, other, labels)
        judged = judge_classes(compared, Gates(max_drop=10), 10)
        assert judged.figures == {"drop_points": drop}
        assert judged.passed is (drop < 10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_drop": 1.0, "method": "nncf"}, "--max-drop means nothing with --method nncf"),
        ({"min_cosine": 0.9, "method": "ort"}, "--min-cosine means nothing with --method ort"),
        ({"max_drop": 100.0}, "--max-drop 100 cannot fail"),
        ({"data": "photos"}, "--data is what a gate is measured on"),
    ],
)
def test_options_of_the_gate_that_mean_nothing_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        quantize(calib="photos", **options)  # type: ignore[arg-type]


def test_more_threads_than_cpus_are_refused_before_any_work(photos: Path) -> None:
    with pytest.raises(UsageError, match="--threads 10000 are more than the"):
        sensitivity(calib=str(photos), threads=10_000)
