"""The check of a calibration: what images carry, and what is said of a model that is far from FP32."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convnext_edge.commands.quantize.verdict import judge
from convnext_edge.commands.text import verdict
from convnext_edge.evaluation.calibration_check import CalibrationSample, look_at
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing

SOURCE: Any = SimpleNamespace(
    preprocessing=Preprocessing(resolution=32, crop=1.0),
    reference=SimpleNamespace(architecture=SimpleNamespace(classes=10)),
)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
GREY = np.full_like(NOISE, 128)


def look(folder: Path, pixels: np.ndarray, labels: list[int] | None = None) -> CalibrationSample:
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:02}.png")
    if labels is not None:
        (folder / "labels.txt").write_text("".join(f"{n:02} {label}\n" for n, label in enumerate(labels)))
    return look_at(open_image_set(folder), SOURCE)


@pytest.mark.parametrize(
    ("pixels", "labels", "said", "empty"),
    [
        (NOISE[:16], None, (), False),
        (NOISE[:20] // 64 * 2 + NOISE[:1] // 2, None, (), False),
        (NOISE[:15], None, ("15 calibration images are few: take 256",), False),
        (NOISE[:1], None, ("1 calibration image is few: take 256",), False),
        (GREY[:20], None, ("16 of 16 calibration images that were looked at have one colour",), True),
        (NOISE[[0] * 20], None, ("the 16 calibration images that were looked at are nearly equal",), True),
        (NOISE[:20], [3] * 20, ("all 20 calibration images are of one class",), False),
        (NOISE[:20], [3] * 19 + [4], (), False),
    ],
    ids=["noise", "alike", "few", "one", "grey", "the same", "one class", "two classes"],
)
def test_images_that_carry_little_are_told_of(
    tmp_path: Path, pixels: np.ndarray, labels: list[int] | None, said: tuple[str, ...], empty: bool
) -> None:
    sample = look(tmp_path, pixels, labels)
    assert (sample.concerns, sample.empty) == (said, empty)
    assert sample.pixels.shape == (min(len(pixels), 16), 3, 32, 32)


@pytest.mark.parametrize(
    ("sqnr_db", "empty", "min_db", "gates", "passed"),
    [
        (25.0, False, 20, ("calibration",), True),
        (19.9, False, 20, ("calibration",), False),
        (19.9, False, 10, ("calibration",), True),
        (19.9, False, 0, (), True),
        (None, False, 20, ("calibration",), True),
        (40.0, True, 20, ("calibration",), False),
    ],
)
def test_a_model_far_from_fp32_on_its_own_images_is_not_to_be_shipped(
    sqnr_db: float | None, empty: bool, min_db: float, gates: tuple[str, ...], passed: bool
) -> None:
    sample = CalibrationSample(np.zeros((0, 3, 1, 1), np.uint8), (), empty)
    job: Any = SimpleNamespace(source=SimpleNamespace(task="classify"))
    found = judge(job, sample, sqnr_db, min_db=min_db, speed=None, gated=None)
    assert (found.gates, found.passed) == (gates, passed)
    assert bool(found.unmet) is not passed
    warned = any("do not ship this model" in text for text in found.warnings)
    assert warned is (empty or (sqnr_db is not None and sqnr_db < 20))


def test_gates_are_named_and_none_is_said_to_be_none() -> None:
    assert verdict((), passed=True) == "none set"
    assert verdict(("calibration", "speed"), passed=True) == "passed (calibration, speed)"
    assert verdict(("drop",), passed=False) == "NOT met (drop)"
    assert verdict(("calibration",), True, ("speed",)) == "passed (calibration); NOT decided: speed"
    assert verdict((), passed=True, undecided=("speed",)) == "NOT decided: speed"
    assert verdict(("drop",), False, ("speed",)) == "NOT met (drop); NOT decided: speed"
