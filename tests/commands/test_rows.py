"""The figures of each task, as the table of `compare` and the page of `report` show them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from convnext_edge.commands.compare.result import Compare
from convnext_edge.commands.report.page import make_page
from convnext_edge.commands.rows import LEGENDS, Row, make_row
from convnext_edge.commands.text import MIB, size_of
from convnext_edge.evaluation.measures import MEASURES
from convnext_edge.tasks import TASKS

# By hand: the longest values that a model is likely to have.
METRICS: dict[str, dict[str, float | None]] = {
    "multilabel": {
        "agreement": 0.99871,
        "map_reference": 0.6512,
        "map_candidate": 0.5262,
        "drop_points": 12.5,
        "f1_reference": 0.71,
        "f1_candidate": 0.7,
    },
    "regress": {"r2": 0.99871, "largest_error": 0.1234, "mean_error": 0.0123},
    "embed": {
        "cosine_mean": 0.99984,
        "cosine_p1": 0.9987,
        "neighbours_kept": 1.0,
        "knn_reference": 0.85,
        "knn_candidate": 0.725,
        "drop_points": 12.5,
    },
    "features": {
        f"map{stage}_{figure}": value
        for stage in range(4)
        for figure, value in (("sqnr_db", 30.0 + stage), ("cosine", 0.9995))
    },
    "segment": {"agreement": 0.99871, "miou_reference": 0.5512, "miou": 0.4262, "drop_points": 12.5},
    "detect": {
        "agreement": 0.99871,
        "box_iou": 0.9812,
        "box_ap_reference": 0.5512,
        "box_ap": 0.4262,
        "mask_ap_reference": 0.5012,
        "mask_ap": 0.4012,
        "drop_points": 12.5,
    },
}
OF_CLASSES = {
    "reference_top1": 0.9512,
    "candidate_top1": 0.8262,
    "reference_top5": 1.0,
    "candidate_top5": 1.0,
    "drop_points": 12.5,
    "drop_ci95_points": [10.1, 14.9],
    "agreement": 0.9987,
    "agreement_ci95": [0.99, 1.0],
}
TIMED = {
    "speedup": 5.314,
    "speedup_ci95": [5.1, 5.5],
    "reliable": False,
    "doubt": "",
    "batch": 1,
    "threads": 1,
    "candidate_ms": {"p50": 4.2, "p99": 5.0},
    "reference_ms": {"p50": 22.3},
    "passed": True,
}
SHOWN = {  # of each task, what a line of the table must show
    "classify": "82.62% +12.50 99.87%",
    "multilabel": "52.62% +12.50 99.87%",
    "regress": "0.99871 0.0123 0.123",
    "embed": "0.99984 0.9987 100% +12.50",
    "features": "30.0 31.0 32.0 33.0",
    "segment": "42.62% +12.50 99.87%",
    "detect": "42.62% 40.12% +12.50 99.87%",
}


def row(task: str, method: str = "ptq", target: str = "onnxruntime", **model: Any) -> Row:
    known = {
        "model": f"tiny-{task}",
        "file": "a.onnx",
        "sha256": "ab",
        "bytes": 128 * MIB,
        "method": method,
        "precision": "fp32" if method == "fp32" else "int8",
        "changes": {},
        "weights": (task.encode().hex() + 64 * "0")[:64],
        "resolution": "224",
    }
    checked = {"target": target, "data": "demo", "images": 1000, "sqnr_db": 30.0, "task": task, "label": ""}
    figures = OF_CLASSES if task == "classify" else dict.fromkeys(OF_CLASSES)
    found = {**checked, **figures, "metrics": METRICS.get(task, {}), "passed": True}
    return make_row({**known, **model}, found, {"target": target, **TIMED})


@pytest.mark.parametrize("task", TASKS)
def test_the_table_of_compare_has_80_columns_and_the_figures_of_the_task(task: str) -> None:
    fp32 = {**row(task, "fp32"), "sqnr_db": 126.3, "speedup": 23.88}
    shown = Compare((fp32, row(task, "nncf", bytes=27.6 * MIB)), (), 62.0).summary()
    assert SHOWN[task] in re.sub(" +", " ", shown)
    assert max(map(len, shown.splitlines())) <= 80
    assert re.sub(r"\s+", " ", LEGENDS.get(task, "")) in re.sub(r"\s+", " ", shown)


def test_figures_that_no_row_knows_have_no_column() -> None:
    unlabelled = row("embed")
    unlabelled["metrics"] = {"cosine_mean": 0.99984, "cosine_p1": 0.9987, "neighbours_kept": None}
    (header, *_) = Compare((unlabelled,), (), 1.0).summary().splitlines()
    assert header.split() == ["target", "method", "cosine", "p1", "SQNR", "speedup", "size"]


def test_every_task_has_figures_of_its_measure() -> None:
    assert set(METRICS) == set(MEASURES)
    assert {"classify", *MEASURES} == set(TASKS)


def test_the_page_shows_every_task_in_a_section_of_its_own() -> None:
    page = make_page([row(task, method) for task in TASKS for method in ("fp32", "ptq")], [])
    sections = re.split("<h2>", page)[1 : len(TASKS) + 1]
    named = [re.match("tiny-([a-z]+) · 224 px · weights", section)[1] for section in sections]  # type: ignore[index]
    assert sorted(named) == sorted(TASKS)
    titles = {
        "classify": ("Same top-1", "Top-1 lost", "82.62%"),
        "embed": (
            "Task embed",
            "Cosine",
            "0.99984",
            "0.99870",
            "k-NN",
            "72.50%",
            "+12.50 lost",
            "neighbours 85.00%",
        ),
        "segment": ("Task segment", "Mean IoU lost", "42.62%", "+12.50 lost", "mIoU 55.12%"),
        "detect": (
            "Task detect",
            "Same object as FP32",
            "42.62%",
            "Average precision of boxes or masks lost",
            "40.12%",
            "50.12%",
            "0.9812",
        ),
        "features": ("Task features", "map3", "33.0 dB", "0.99950", "worst map"),
        "multilabel": ("Task multilabel", "mAP 65.12%", "52.62%", "70.00%", "Same decisions as FP32"),
        "regress": ("Task regress", "R2", "0.99871", "0.1234", "Signal over quantization noise, values"),
    }
    for task, section in zip(named, sections, strict=True):
        plain = " ".join(re.sub("<[^>]*>", " ", section).split())
        assert [text for text in titles[task] if text not in plain] == []
        assert ("Same top-1" in section) is (task == "classify")
        assert section.count("<tr") == 3


def test_a_model_that_was_only_timed_keeps_the_task_of_its_model() -> None:
    only = make_row({**row("embed"), "task": None}, None, {"target": "openvino", **TIMED})
    only["task"] = only["metrics"] = only["images"] = None
    page = make_page([row("embed"), only], [])
    assert page.count("<h2>tiny-embed ") == 1


@pytest.mark.parametrize(
    ("count", "said"), [(MIB // 2, "0.5 MiB"), (99 * MIB, "99.0 MiB"), (128 * MIB, "128 MiB")]
)
def test_sizes_have_three_digits(count: int, said: str) -> None:
    assert size_of(count) == said
