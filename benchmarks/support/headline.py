"""The table at the top of the project's README, from the reports of fidelity.py and latency.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
ROUTES = {
    "avx512_vnni": "VNNI",
    "avx2": "AVX2",
}  # ends of the reports' names, and what a reader knows them by
# of speed, the CPUs with VNNI apart, the slower one first: that with AVX-VNNI is a generation newer
SPEED_ROUTES = {"avx512_vnni": "VNNI", "avx_vnni": "AVX-VNNI", "avx2": "AVX2"}
BOLD = "**convnext-edge**"

# name, runtime, and what the two reports call it
ROWS = (
    (BOLD, "OpenVINO", ("ptq for openvino", "openvino"), "ours in openvino"),
    ("NNCF `quantize`, defaults", "OpenVINO", ("nncf.quantize", "openvino"), "nncf.quantize in openvino"),
    (BOLD, "ONNX Runtime", ("ptq for onnxruntime", "onnxruntime"), "ours in onnxruntime"),
    (
        "`quantize_static`, defaults",
        "ONNX Runtime",
        ("quantize_static", "onnxruntime"),
        "quantize_static in onnxruntime",
    ),
)

Report = dict[str, Any]


def headline() -> str:
    """Two lines of facts and a table, in Markdown."""
    speed = {route: read("latency", route) for route in SPEED_ROUTES}
    fidelity = {route: read("fidelity", route) for route in ROUTES}
    columns = [f"speed, {name}" for name in SPEED_ROUTES.values()]
    columns += [f"{what}, {name}" for what in ("same top-1", "SQNR") for name in ROUTES.values()]
    rows = [["INT8 by", "in", *columns]]
    rows += [list(cells(row, speed, fidelity)) for row in ROWS]
    table = [f"| {' | '.join(row)} |" for row in rows]
    table.insert(1, "| --- | --- |" + " ---: |" * len(columns))
    return "\n".join([*table, "", *facts(speed, fidelity)])


def cells(row: tuple[Any, ...], speed: dict[str, Report], fidelity: dict[str, Report]) -> Iterator[str]:
    name, runtime, in_fidelity, in_latency = row
    measured = {
        route: next(r for r in report["methods"] if (r["method"], r["target"]) == in_fidelity)
        for route, report in fidelity.items()
    }
    yield from (name, runtime)
    figures = [
        f"{speed[route]['tables']['threads 1']['models'][in_latency]['speedup']:.1f}x"
        for route in SPEED_ROUTES
    ]
    figures += [f"{100 * measured[route]['agreement']:.1f} %" for route in ROUTES]
    figures += [f"{measured[route]['sqnr_db']:.1f} dB" for route in ROUTES]
    yield from (f"**{figure}**" if name == BOLD else figure for figure in figures)


def facts(speed: dict[str, Report], fidelity: dict[str, Report]) -> Iterator[str]:
    """What was measured on what, and how sure it is."""
    report, timed = fidelity["avx512_vnni"], speed["avx512_vnni"]
    ends = [
        end
        for measured in fidelity.values()
        for row in measured["methods"]
        if row["method"].startswith("ptq for ") and row["method"].endswith(row["target"])
        for end in row["agreement_ci95"]
    ]
    versions = report["versions"]
    days = sorted({measured["date"][:10] for measured in speed.values()})
    milliseconds = ", ".join(f"{reference_ms(report):.0f}" for report in speed.values())
    yield (
        f"Speed, in multiples of PyTorch's FP32 ({milliseconds} ms): ConvNeXt-T, 224x224, batch 1, one"
        f" thread, medians of {timed['runs']} interleaved calls. Fidelity: the demo model (1.1 M weights) on"
        f" {report['data']['images']:,} CIFAR-10 test images; 95 % intervals of ours within"
        f" {100 * min(ends):.1f} to {100 * max(ends):.1f} %."
    )
    yield (
        f"{report['cpu']['name']} with AVX-512 VNNI, and a newer one with AVX-VNNI, too, where both were"
        f" hidden from the programs for the AVX2 columns; {' and '.join(days)}, OpenVINO"
        f" {versions['openvino']}, ONNX Runtime {versions['onnxruntime']}, PyTorch {versions['torch']}, NNCF"
        f" {versions['nncf']}."
    )


def reference_ms(report: Report) -> float:
    return float(report["tables"]["threads 1"]["models"]["reference"]["p50_ms"])


def read(name: str, route: str) -> Report:
    report: Report = json.loads((RESULTS / f"{name}-{route}.json").read_text(encoding="utf-8"))
    return report
