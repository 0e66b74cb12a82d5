"""validate: candidate and reference over the same images, and gates that can fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from support.image_sets import save_class_folders
from support.models import CLASSES, Models
from support.validated import int8

from convnext_edge import finetune, quantize, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.checkpoints.source import Source
from convnext_edge.checkpoints.variants import find_variant
from convnext_edge.commands.finetune.data import choose_images
from convnext_edge.commands.quantize.gate import open_gate
from convnext_edge.commands.validate.result import Validate
from convnext_edge.errors import ImageSetError, UsageError
from convnext_edge.evaluation.candidates import reference_threads
from convnext_edge.evaluation.gates import Gates, judge_classes
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.images.opening import open_image_set
from convnext_edge.targets.registry import find_target

# What is compared


@pytest.mark.parametrize("target", ["torch", "onnxruntime", "openvino"])
def test_the_fp32_model_is_the_reference_again(models: Models, photos: Path, target: str) -> None:
    found = validate(models.exported(), target=target, data=str(photos), workspace=models.workspace)
    assert found.images == 40
    assert found.agreement == 1
    assert found.drop_points == 0
    assert found.candidate_top1 == found.reference_top1
    assert found.sqnr_db is None or found.sqnr_db > 90
    assert not found.simulated


def test_top5_is_shown_where_it_can_tell_something(models: Models) -> None:
    found = int8(models)
    assert found.classes == 10
    assert "top-5" in found.summary()
    assert "top-5" not in replace(found, classes=5).summary()
    assert "top-1" in replace(found, classes=5).summary()


def test_the_int8_model_is_held_against_the_labels(models: Models) -> None:
    found = int8(models)
    assert found.images == 40
    assert found.data == models.photos.name
    assert found.reference_top1 is not None
    assert found.candidate_top1 is not None
    assert found.drop_points == pytest.approx(100 * (found.reference_top1 - found.candidate_top1))
    assert found.drop_ci95_points is not None
    low, high = found.drop_ci95_points
    assert low < found.drop_points < high
    assert found.reference_top5 is not None
    assert found.reference_top5 >= found.reference_top1
    assert found.agreement_ci95[0] <= found.agreement <= found.agreement_ci95[1]
    assert found.sqnr_db is not None
    assert 20 < found.sqnr_db < 60
    assert found.passed


def test_a_uint8_model_is_given_bytes(models: Models, photos: Path) -> None:
    found = validate(
        models.exported("uint8"), target="onnxruntime", data=str(photos), workspace=models.workspace
    )
    assert found.agreement == 1
    assert found.sqnr_db is None or found.sqnr_db > 90


def test_images_that_were_calibrated_with_are_counted(models: Models) -> None:
    assert int8(models).overlap == 16
    assert validate_exported(models).overlap == 0


def validate_exported(models: Models) -> Validate:
    return validate(
        models.exported(), target="onnxruntime", data=str(models.photos), limit=8, workspace=models.workspace
    )


def test_the_overlap_is_found_whatever_the_images_are_called(models: Models, flat: Path) -> None:
    for number, path in enumerate(sorted(flat.iterdir())):
        path.rename(flat / f"renamed{number}.png")
    assert int8(models, data=str(flat)).overlap == 16


def test_a_limit_takes_a_seeded_subset(models: Models) -> None:
    first, again, other = (int8(models, limit=12, seed=seed) for seed in (0, 0, 1))
    assert first.images == again.images == 12
    assert first.sqnr_db == again.sqnr_db
    assert first.sqnr_db != other.sqnr_db


def test_images_without_labels_have_an_agreement_but_no_accuracy(models: Models, flat: Path) -> None:
    found = int8(models, data=str(flat))
    assert found.images == 40
    assert found.agreement == int8(models).agreement
    accuracies = (found.reference_top1, found.candidate_top1, found.reference_top5, found.candidate_top5)
    assert accuracies == (None, None, None, None)
    assert found.drop_points is None
    assert found.drop_ci95_points is None


def test_one_broken_image_of_many_is_named_and_left_out(models: Models, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(120):
        Image.fromarray(generator.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / f"{number:03}.png")
    (tmp_path / "007.png").write_bytes(b"no image")
    found = int8(models, data=str(tmp_path))
    assert found.images == 119
    assert found.skipped_images == ("007.png",)


# Gates


@pytest.mark.parametrize(
    ("gates", "passed"),
    [
        ({}, True),
        ({"max_drop": -100.1}, False),
        ({"min_agreement": 0.01}, True),
        ({"max_drop": -100.1, "min_agreement": 0.01}, False),
    ],
)
def test_every_gate_must_be_met(models: Models, gates: dict[str, float], passed: bool) -> None:
    assert int8(models, limit=8, **gates).passed is passed


def test_an_agreement_under_the_gate_does_not_pass() -> None:
    found, labels = Comparison(), np.full(4, -1)
    answers = np.eye(4, CLASSES, dtype=np.float32)
    found.add(answers, answers[[0, 1, 2, 2]], labels)
    assert not judge_classes(found, Gates(min_agreement=0.76), CLASSES).passed
    assert judge_classes(found, Gates(min_agreement=0.75), CLASSES).passed


def test_a_drop_that_equals_the_gate_passes(models: Models) -> None:
    drop = int8(models).drop_points
    assert drop is not None
    assert int8(models, max_drop=drop).passed
    assert not int8(models, max_drop=drop - 0.01).passed


def test_a_drop_without_labels_cannot_be_a_gate(models: Models, flat: Path) -> None:
    with pytest.raises(UsageError, match="--max-drop needs labels, and flat has none"):
        int8(models, data=str(flat), max_drop=1.0)


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ({"max_drop": 100.0}, "--max-drop 100 cannot fail"),
        ({"min_agreement": 0.0}, "--min-agreement 0 cannot fail"),
    ],
)
def test_a_gate_that_cannot_fail_is_refused(models: Models, gates: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        int8(models, **gates)


def test_labels_that_do_not_belong_to_the_model_are_told_of_and_pass_no_gate(models: Models) -> None:
    """The weights are random, so the reference is right by chance."""
    found = int8(models, max_drop=99.0)
    (chance, unfit) = found.warnings
    assert "labels and model may not belong together" in chance
    assert "a gate of 99 points cannot fail" in unfit
    assert (found.gates, found.passed) == (("drop",), False)
    assert "gates      NOT met (drop)" in found.summary()
    assert "gates      none set" in int8(models, limit=8).summary()


# Refusals


def test_no_images_are_an_error_and_no_success(models: Models, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match="holds no images"):
        int8(models, data=str(tmp_path))
    with pytest.raises(UsageError, match="--limit 0 is less than 1"):
        int8(models, limit=0)


@pytest.mark.parametrize("classes", [CLASSES - 1, CLASSES + 1])
def test_images_of_other_classes_are_refused(
    models: Models, photos: Path, tmp_path: Path, classes: int
) -> None:
    image = next(photos.glob("*/*.png"))
    for label in range(classes):
        (tmp_path / "other" / f"class{label:02}").mkdir(parents=True)
        shutil.copy(image, tmp_path / "other" / f"class{label:02}")
    start, other = models.exported(), tmp_path / "other"
    options = {"output": tmp_path / "a.onnx", "workspace": models.workspace}
    calls: list[tuple[Path, Callable[[], object]]] = [
        (models.quantized(), lambda: int8(models, data=str(other))),
        (start, lambda: quantize(start, calib=other, max_drop=1, **options)),  # type: ignore[arg-type]
        (start, lambda: quantize(start, calib=photos, max_drop=1, data=other, **options)),  # type: ignore[arg-type]
        (start, lambda: finetune(start, train=other, label_weight=0.5, **options)),  # type: ignore[arg-type]
        (start, lambda: finetune(start, train=photos, data=other, **options)),  # type: ignore[arg-type]
    ]
    for model, call in calls:
        with pytest.raises(ImageSetError) as caught:
            call()
        assert f"other has {classes} classes, {model.name} has {CLASSES}" in str(caught.value)


def test_where_labels_do_not_count_images_of_other_classes_will_do(models: Models, tmp_path: Path) -> None:
    save_class_folders(tmp_path, *"abcdefghijkl", count=1)
    start = open_artifact(models.exported())
    trained, measured = choose_images(tmp_path, None, None, 0, Numbering(), start)
    assert (len(trained), len(measured)) == (11, 1)
    job: Any = SimpleNamespace(images=open_image_set(tmp_path), start=SimpleNamespace(artifact=start))
    assert open_gate(Gates(), None, None, job, Numbering()) is None


def test_an_engine_does_not_run_on_another_target(models: Models, photos: Path) -> None:
    engine = models.engine("openvino", models.quantized())
    with pytest.raises(UsageError, match="is an engine for openvino, it does not run on onnxruntime"):
        validate(engine, target="onnxruntime", data=str(photos), workspace=models.workspace)


def test_the_newest_model_that_fits_is_taken(
    models: Models, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    models.quantized("openvino"), models.quantized("onnxruntime")
    shutil.copytree(models.workspace, tmp_path / "work")
    found = validate(target="openvino", data=str(photos), limit=4, workspace=tmp_path / "work")
    assert open_artifact(found.artifact).description.target in (None, "openvino")
    assert f"taking {found.artifact}, the newest model of the workspace" in caplog.text


def test_the_calibration_images_are_a_subset_of_the_photographs(models: Models, photos: Path) -> None:
    """What the overlap above counts."""
    hashes = {digest[:16] for digest in open_image_set(str(photos)).hashes}
    calibrated = set(open_artifact(models.quantized()).description.calibration_hashes)
    assert len(calibrated) == 16
    assert calibrated < hashes


def test_a_runtime_that_takes_turns_with_pytorch_does_not_spin_and_is_as_exact(
    models: Models, batch: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = open_artifact(models.quantized("onnxruntime"))
    target, images = find_target("onnxruntime"), batch["float32"]
    set_entries: list[tuple[str, str]] = []
    original = onnxruntime.SessionOptions.add_session_config_entry
    monkeypatch.setattr(
        onnxruntime.SessionOptions,
        "add_session_config_entry",
        lambda self, *entry: (set_entries.append(entry), original(self, *entry))[1],
    )
    with target.open_session(artifact) as alone:
        expected = alone.run(images)
    assert not any("spinning" in key for key, _ in set_entries)  # so that it is timed as it runs in products
    with target.open_beside(artifact) as beside:
        assert np.array_equal(beside.run(images), expected)
    assert ("session.intra_op.allow_spinning", "0") in set_entries


def test_pytorch_takes_one_thread_for_a_small_model_alone() -> None:
    for name, threads in (("demo", 1), ("tiny", None)):
        variant = find_variant(name)
        reference: Any = SimpleNamespace(architecture=variant.architecture)
        source = Source(reference, name, name, variant.preprocessing)
        assert reference_threads(source) == threads
