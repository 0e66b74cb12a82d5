"""Rows and results as `report` is given them."""

from __future__ import annotations

from typing import Any

from convnext_edge.commands.rows import make_row

MODEL = {
    "model": "tiny",
    "file": "a.xml",
    "sha256": 64 * "1",
    "bytes": 28 * 2**20,
    "method": "ptq",
    "precision": "int8",
    "changes": {},
    "weights": 64 * "a",
    "resolution": "224",
    "recipe_name": None,
    "recipe": None,
    "calibration": None,
    "made": [],
}
CHECKED = {
    "artifact": "out/a.xml",
    "target": "openvino",
    "data": "demo",
    "images": 10_000,
    "reference_top1": 0.8,
    "candidate_top1": 0.798,
    "reference_top5": 0.95,
    "candidate_top5": 0.95,
    "drop_points": 0.2,
    "drop_ci95_points": [-0.1, 0.5],
    "agreement": 0.98,
    "agreement_ci95": [0.977, 0.983],
    "sqnr_db": 30.0,
    "simulated": False,
    "passed": True,
    "label": "",
    "gates": [],
    "warnings": [],
    "task": "classify",
    "metrics": {},
}
TIMED = {
    "target": "openvino",
    "cpu": "a CPU",
    "threads": 1,
    "batch": 1,
    "candidate_ms": {"p50": 5.0, "p90": 5.5, "p99": 6.0, "min": 4.9},
    "reference_ms": {"p50": 20.0, "p90": 21.0, "p99": 22.0, "min": 19.0},
    "speedup": 4.0,
    "speedup_ci95": [3.8, 4.2],
    "reliable": True,
    "doubt": "",
    "peak_rss_bytes": 2**27,
    "passed": True,
    "candidate_histogram": {"edges_ms": [4.5, 5.0, 5.5, 6.5], "counts": [10, 30, 2]},
}


def row(
    *, milliseconds: float = 5.0, timed: bool = True, checked: bool = True, **changes: Any
) -> dict[str, Any]:
    """A row of an INT8 engine that loses 0.2 points and is 4 times as fast; changes: of any of its values."""
    model = {key: changes.pop(key, value) for key, value in MODEL.items()}
    ms = {**TIMED["candidate_ms"], "p50": milliseconds}  # type: ignore[dict-item]
    times = {**TIMED, "candidate_ms": ms, "speedup": 20 / milliseconds}
    made = make_row(model, dict(CHECKED) if checked else None, times if timed else None)
    return {**made, **changes}


def record(kind: str, result: dict[str, Any], **model: Any) -> dict[str, Any]:
    """A kept result."""
    return {
        "kind": kind,
        "date": "2026-01-02T03:04:05+00:00",
        "command": f"convnext-edge {kind}",
        "tools": {"torch": "2"},
        "cpu": {"name": "a CPU", "isa": ["avx2"], "int8_saturates": True},
        "model": {**MODEL, **model},
        "result": result,
    }


# All keys that `validate` has to have, as its result is kept.
VALIDATED = {
    "artifact": "out/tiny.xml",
    "target": "openvino",
    "data": "demo",
    "images": 10,
    **dict.fromkeys(("reference_top1", "candidate_top1", "reference_top5", "candidate_top5"), 0.5),
    "drop_points": 0.0,
    "drop_ci95_points": [-1.0, 1.0],
    "agreement": 0.9,
    "agreement_ci95": [0.8, 0.95],
    "sqnr_db": 36.0,
    "overlap": 0,
    "skipped_images": ["broken.png"],
    "simulated": False,
    "passed": True,
    "label": "",
}
