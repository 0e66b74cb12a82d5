"""The tables of docs/table.md, made from reports: what they say, and what they do not rely on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.make import edge_tables
from benchmarks.measure import scaling

CALL = {"p50_ms": 20.0, "p50_ci95_ms": [19.0, 21.0], "images_per_second": 50.0}
RATIO = {"ratio": 2.0, "ci95": [1.9, 2.1]}
ROW = {
    "kind": "convnext",
    "resolution": 224,
    "params": 28_589_128,
    "macs": 4_455_532_032,
    "top1": 0.821,
    "source": "README of facebookresearch/ConvNeXt",
    "int8_by": "convnext-edge",
    "bytes": {"openvino fp32": 114 * 2**20, "openvino int8": 30 * 2**20},
    "timed": {"openvino fp32": CALL, "openvino int8": {**CALL, "doubt": "the median is 3.0 times the least"}},
    "times_fp32": {"openvino int8": RATIO},
    "others_cpus": [0.0, 0.0],
}
REPORT = {
    "cpu": {"name": "A CPU", "isa": ["avx2"]},
    "versions": dict.fromkeys(("openvino", "onnxruntime", "torch", "nncf"), "1"),
    "date": "2026-01-01T00:00:00",
    "note": "Idle",
    "model": "random weights",
    "runs": 15,
}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Makes a part of the page from a report alone, whatever was measured on this machine."""
    monkeypatch.setattr(edge_tables, "RESULTS", tmp_path)
    functions = {
        "variants": edge_tables.classification,
        "roadmap": edge_tables.road,
        "scaling": edge_tables.scaled,
        "dense": edge_tables.dense,
    }

    def part(name: str, report: dict[str, Any] | None) -> str:
        if report is not None:
            (tmp_path / f"{name}-avx2.json").write_text(json.dumps({**REPORT, **report}), encoding="utf-8")
        return functions[name]()

    return part  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["variants", "roadmap", "scaling", "dense"])
def test_a_page_without_reports_says_how_to_make_one(page: Callable[..., str], name: str) -> None:
    assert page(name, None) == f"No report is here yet; `python -m benchmarks.measure.{name}` writes one."


def test_the_classification_table_tells_doubts_and_failures(page: Callable[..., str]) -> None:
    rows = {"tiny": ROW, "busy": {**ROW, "others_cpus": [0.0, 1.5]}, "huge": {"failed": "LostError: memory"}}
    text = page("variants", {"rows": rows})
    facts = "| `tiny` | 224 | 28.6M | 4.46G | 114.0 | 30.0 |"
    assert f"{facts} 50.0 | 50.0 (?) | 82.1 | README of facebookresearch/ConvNeXt | convnext-edge |" in text
    assert "| `tiny` | 20.00 (19.00 to 21.00) | 20.00 (19.00 to 21.00) (?) | 2.00x (1.90 to 2.10) |" in text
    assert "- huge failed: LostError: memory" in text
    assert "- Before or after 1 of 3 rows, others kept CPUs busy, up to 1.5 of them" in text
    assert "bf16" not in text  # which this CPU has not


def test_the_road_tells_what_each_step_costs_and_where_the_paper_differs(page: Callable[..., str]) -> None:
    kinds = ("fp32", "int8")
    step = {
        "timed": dict.fromkeys(kinds, CALL),
        "int8_gain": RATIO,
        "over_before": dict.fromkeys(kinds, RATIO),
        "over_first": dict.fromkeys(kinds),
    }
    told = {"macs": 4.146e9, "params": 25.8e6, "paper_gflops": 4.46, "paper_top1": 81.47, "off_percent": 7.05}
    steps = {
        "BN to LN": {**told, "kept": True, "explained": "norms alone"},
        "kernel 9": {**told, "kept": False, "explained": None},
    }
    text = page("roadmap", {"steps": steps, "rows": {"openvino": {"steps": dict.fromkeys(steps, step)}}})
    assert "| BN to LN | 4.146 | 4.46 | 7.05 % | 25.8M | 81.47 |" in text
    assert "- BN to LN: norms alone." in text
    assert "| (kernel 9) | 20.00 (19.00 to 21.00) | 2.00x (1.90 to 2.10) | - |" in text


def test_scaling_has_a_table_for_each_of_what_is_changed(page: Callable[..., str]) -> None:
    timed = {f"{runtime} {kind}": CALL for runtime in edge_tables.RUNTIMES for kind in ("fp32", "int8")}
    row = {"timed": timed, "int8_gain": dict.fromkeys(edge_tables.RUNTIMES, RATIO), "threads": 2}
    rows = {
        setting.name: {**row, **setting._asdict()}
        for setting in (
            scaling.Setting(2, 8),
            scaling.Setting(2, 4),
            scaling.Setting(2, size=384),
            scaling.Setting(2, streams=2),
        )
    }
    text = page("scaling", {"rows": rows})
    cell = "50.0 (20.0 ms)"
    gain = "2.00x (1.90 to 2.10)"
    for number in (8, 384):
        assert f"| 2 | {number} | {cell} | {cell} | {cell} | {cell} | {gain} | {gain} |" in text
    assert text.index("| 2 | 4 |") < text.index("| 2 | 8 |")
    assert text.endswith(f"| 2 | 2 | {cell} | {cell} | {cell} | {cell} |")


def test_the_table_of_dense_prediction_has_a_row_for_each_model(page: Callable[..., str]) -> None:
    row = {"timed": {"PyTorch FP32": CALL, "ours": CALL}, "ours_over": {"PyTorch FP32": RATIO}}
    text = page("dense", {"rows": {"UPerNet-T": row, "huge": {"failed": "LostError: memory"}}})
    assert "| model | PyTorch FP32 | ours | ours over PyTorch FP32 |" in text
    assert "| UPerNet-T | 20 (19.00 to 21.00) | 20 (19.00 to 21.00) | 2.00x (1.90 to 2.10) |" in text
    assert "- huge failed: LostError: memory" in text
