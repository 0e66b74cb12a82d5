"""A model of another task goes the whole way: exported, quantized, built, validated, its layers looked at."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from support.models import CHECKPOINT, CLASSES, RESOLUTION

from convnext_edge import build, compare, export, finetune, quantize, report, sensitivity, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.commands.export import Export
from convnext_edge.commands.quantize.gate import Gate
from convnext_edge.commands.text import title_of
from convnext_edge.errors import ImageSetError, TargetError, UsageError
from convnext_edge.evaluation.gates import Gates, Judgement
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.targets.registry import find_target
from convnext_edge.tasks import Task

pytestmark = pytest.mark.slow
LAST = 48  # channels of the last map


def outputs(path: Path) -> dict[str, list[int | str]]:
    return {
        output.name: [dim.dim_param or dim.dim_value for dim in output.type.tensor_type.shape.dim]
        for output in onnx.load(path).graph.output
    }


def exported(workspace: Path, **options: object) -> Export:
    return export(checkpoint=CHECKPOINT, resolution=RESOLUTION, workspace=workspace, **options)  # type: ignore[arg-type]


def test_a_classifier_without_its_head_is_an_embedding(tmp_path: Path, photos: Path) -> None:
    made = exported(tmp_path, task="embed", with_map=True)
    assert outputs(made.artifact) == {"embedding": ["batch", LAST], "map": ["batch", LAST, 2, 2]}
    assert (made.task, made.classes, made.artifact.name) == ("embed", 0, "timm_v1-embed-map.onnx")
    int8 = quantize(made.artifact, calib=photos, samples=16, timing=False, workspace=tmp_path)
    engine = build(int8.artifact, workspace=tmp_path).engine
    assert open_artifact(engine).description.task == "embed"
    found = validate(engine, data=photos, min_cosine=0.99, min_sqnr=20, workspace=tmp_path)
    assert found.passed
    assert found.gates == ("sqnr", "cosine")
    assert found.agreement is None
    assert (found.metrics["cosine_p1"] or 0) > 0.99
    assert "cosine mean" in found.summary()


def test_models_of_other_tasks_are_compared_and_reported(tmp_path: Path, photos: Path) -> None:
    made = exported(tmp_path, task="embed")
    found = compare(
        made.artifact,
        calib=photos,
        data=photos,
        limit=12,
        targets=["openvino"],
        methods=["fp32"],
        runs=2,
        workspace=tmp_path,
    )
    (row,) = found.rows
    again = validate(row["artifact"], data=photos, limit=12, workspace=tmp_path)
    assert row["metrics"] == again.metrics
    assert (row["metrics"]["cosine_mean"], row["metrics"]["neighbours_kept"]) == (pytest.approx(1), 1)
    # 12 images of ten classes are too few for k-NN, and so for a drop
    assert found.summary().splitlines()[0].split()[2:6] == ["cosine", "p1", "10-NN", "SQNR"]
    assert again.warnings[0].startswith("k-NN is not told: 12 images of")
    page = report(workspace=tmp_path).html.read_text(encoding="utf-8")
    assert "Task embed; 12 images" in page
    assert "1.00000" in page


def test_maps_of_all_stages_are_features(tmp_path: Path, photos: Path) -> None:
    made = exported(tmp_path, task="features")
    edges = [RESOLUTION // stride for stride in (4, 8, 16, 32)]
    assert [shape[1:] for shape in outputs(made.artifact).values()] == [
        [channels, edge, edge] for channels, edge in zip((16, 24, 32, 48), edges, strict=True)
    ]
    int8 = quantize(
        made.artifact, calib=photos, samples=16, target="onnxruntime", timing=False, workspace=tmp_path
    )
    found = validate(int8.artifact, data=photos, min_sqnr=25, workspace=tmp_path)
    assert found.passed
    worst = min(value or 0 for name, value in found.metrics.items() if name.endswith("sqnr_db"))
    assert found.sqnr_db == worst
    ranked = sensitivity(made.artifact, calib=photos, samples=8, workspace=tmp_path)
    assert len(ranked.layers) > 10
    trained = finetune(made.artifact, train=photos, steps=2, batch=4, samples=4, workspace=tmp_path)
    assert trained.final_agreement is None
    assert (trained.final_sqnr_db or 0) > 20


def test_images_may_have_any_size(tmp_path: Path, photos: Path) -> None:
    made = exported(tmp_path, task="features", dynamic_size=True, target="openvino")
    assert outputs(made.artifact)["map1"] == ["batch", 24, "map1_height", "map1_width"]
    int8 = quantize(made.artifact, calib=photos, samples=8, timing=False, workspace=tmp_path)
    images = np.random.default_rng(0).normal(size=(1, 3, 97, 70)).astype(np.float32)
    with find_target("openvino").open_session(open_artifact(int8.artifact)) as session:
        assert [answer.shape[2:] for answer in session.run_all(images)] == [(24, 17), (12, 8), (6, 4), (3, 2)]
    with pytest.raises(TargetError, match="takes images of one size"):
        build(made.artifact, target="tensorrt-rtx", workspace=tmp_path)


def test_a_head_may_be_said_to_regress(tmp_path: Path, photos: Path) -> None:
    made = exported(tmp_path, task="regress")
    assert made.outputs == ("values",)
    int8 = quantize(made.artifact, calib=photos, samples=16, timing=False, workspace=tmp_path)
    found = validate(int8.artifact, data=photos, min_r2=0.9, workspace=tmp_path)
    assert found.passed
    assert 0.9 < (found.metrics["r2"] or 0) <= 1


def test_several_labels_an_image_are_what_decisions_are_held_against(tmp_path: Path, photos: Path) -> None:
    """An image has the labels whose logits are its two largest, so that the reference ranks well."""
    made = exported(tmp_path, task="multilabel")
    images = open_image_set(photos).subset(12, seed=0)
    (batch,) = images.batches(Preprocessing(RESOLUTION), batch=12, dtype="float32")
    with torch.inference_mode():
        logits = load_checkpoint(CHECKPOINT).model(torch.from_numpy(batch.images)).numpy()
    truth = np.argsort(np.argsort(-logits, axis=1), axis=1) < 2
    lines = [",".join(["file", *(f"class{number}" for number in range(CLASSES))])]
    for number, (name, row) in enumerate(zip(batch.names, truth.astype(int), strict=True)):
        (tmp_path / "flat").mkdir(exist_ok=True)
        shutil.copy(photos / name, tmp_path / "flat" / f"{number:02}.png")
        lines.append(f"{number:02}.png,{','.join(map(str, row))}")
    (tmp_path / "flat" / "labels.csv").write_text("\n".join(lines))
    found = validate(
        made.artifact, target="onnxruntime", data=tmp_path / "flat", max_drop=1, workspace=tmp_path
    )
    precisions = []
    for right, scores in zip(truth.T, logits.T, strict=True):
        ranked = right[np.argsort(-scores)]
        if ranked.any():
            precisions.append(np.mean([ranked[: n + 1].mean() for n in np.flatnonzero(ranked)]))
    assert found.metrics["map_reference"] == pytest.approx(np.mean(precisions), abs=1e-6)
    assert (found.gates, found.passed, found.class_order) == (("drop",), True, "columns")
    with pytest.raises(ImageSetError, match="may have several labels, or none"):
        validate(exported(tmp_path).artifact, data=tmp_path / "flat", workspace=tmp_path)


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize(
    ("task", "gate", "figure"),
    [
        ("embed", "min_cosine", "cosine_mean"),
        ("features", "min_sqnr", "sqnr_db"),
    ],
)
def test_layers_go_back_to_float_until_the_gate_of_the_task_holds(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, task: Task, gate: str, figure: str
) -> None:
    """The bound lies a little over what the model with all layers in INT8 reaches."""
    real, reached = Gate.judge, list[float]()

    def judge(given: Gate, *found: Any) -> Judgement:
        reached.append(real(given, *found).figures[figure] or 0)
        bound = reached[0] + (0.3 if figure == "sqnr_db" else (1 - reached[0]) / 20)
        return real(replace(given, gates=Gates(**{gate: bound})), *found)

    monkeypatch.setattr(Gate, "judge", judge)
    bound: dict[str, Any] = {gate: 0.5}
    made = quantize(
        exported(tmp_path, task=task).artifact,
        calib=photos,
        samples=8,
        target="onnxruntime",
        timing=False,
        workspace=tmp_path,
        **bound,
    )
    assert made.passed
    assert made.gates == ("calibration", gate.removeprefix("min_"))
    assert len(made.kept_float) == len(reached) - 1 > 0
    assert not set(made.kept_float) & set(made.quantized_layers)
    assert made.measured[figure] == pytest.approx(reached[-1], abs=1e-6)
    assert title_of(figure) in made.summary()
    again = validate(made.artifact, data=photos, limit=8, workspace=tmp_path)  # the same eight images
    figures = {**again.metrics, "sqnr_db": again.sqnr_db}
    assert figures[figure] == pytest.approx(reached[-1], abs=1e-5)


def test_a_task_that_the_tensors_do_not_allow_is_refused(tmp_path: Path) -> None:
    features = exported(tmp_path, task="features").weights
    for task, said in (("embed", "maps alone"), ("classify", "no head")):
        with pytest.raises(UsageError, match=said):
            export(checkpoint=features, task=task, workspace=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--with-map belongs to --task embed"):
        exported(tmp_path, with_map=True)


def test_an_export_stays_what_it_was_when_another_has_its_weights(tmp_path: Path, photos: Path) -> None:
    """Both have the same tensors, and so the same file of weights, whose sidecar tells of the second."""
    first = exported(tmp_path, output=tmp_path / "gelu.onnx").artifact
    exported(tmp_path, output=tmp_path / "relu.onnx", activation="relu")
    checked = validate(first, data=photos, target="onnxruntime", workspace=tmp_path)
    assert checked.sqnr_db is None or checked.sqnr_db > 100
    int8 = quantize(first, calib=photos, samples=8, target="onnxruntime", timing=False, workspace=tmp_path)
    assert open_artifact(int8.artifact).description.architecture.activation == "gelu"
    assert not [node for node in onnx.load(int8.artifact).graph.node if node.op_type == "Relu"]
