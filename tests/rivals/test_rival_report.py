"""The report on rivals: who is both faster and closer, and the page that says so."""

from __future__ import annotations

from typing import Any

from benchmarks.make.rival_tables import section
from benchmarks.support.rivals import both, leads, verdicts


def row(name: str, *, closer: bool, faster: bool, failed: str | None = None) -> dict[str, Any]:
    against = {"closer": closer, "faster": faster, "times_as_fast": 1.5, "times_as_fast_ci95": [1.4, 1.6]}
    return {
        "name": name,
        "runtime": "onnxruntime",
        "ours": False,
        "command": f"{name}()",
        "source": "https://example.org",
        "version": "1.0",
        "failed": failed,
        "candidate_top1": 0.86,
        "drop_points": 0.1,
        "drop_ci95_points": [-0.2, 0.4],
        "agreement": 0.99,
        "sqnr_db": 30.0,
        "p50_ms": 2.0,
        "p99_ms": 3.0,
        "throughput_ips": 500.0,
        "bytes": 2**20,
        "peak_rss_bytes": 2**27,
        "seconds": 9.0,
        "against": None if failed else against,
    }


DEMO = [
    row("far", closer=False, faster=True),
    row("close", closer=True, faster=False),
    row("slow", closer=True, faster=False),
    row("both", closer=True, faster=True),
    row("broken", closer=True, faster=True, failed="no such operator"),
]
TINY = [row("close", closer=False, faster=True), row("both", closer=False, faster=False)]
PARTS = {"demo": {"rows": DEMO}, "tiny": {"rows": TINY}}
SAME_SPEED = {"slow": "close"}  # timed as another


def test_a_rival_is_both_where_it_is_closer_on_one_model_and_faster_on_any() -> None:
    assert both(PARTS, SAME_SPEED) == {
        "closeness of demo, speed of demo": ["both in onnxruntime"],
        "closeness of demo, speed of tiny": ["close in onnxruntime", "slow in onnxruntime"],
    }


def test_a_rival_that_was_not_timed_on_a_model_is_not_judged_there() -> None:
    (far,) = (found for found in verdicts(PARTS, {}) if found["name"] == "far")
    assert (far["closer"], far["faster on demo"], far["faster on tiny"]) == (False, True, None)


def test_the_lead_is_over_the_fastest_rival_of_a_runtime_that_ours_is_in() -> None:
    ours = {**row("ours", closer=False, faster=False), "ours": True, "against": None}
    slower = row("slower", closer=False, faster=False)
    slower["against"]["times_as_fast"] = 0.8
    elsewhere = {**row("elsewhere", closer=False, faster=True), "runtime": "torch"}
    assert leads({"tiny": {"rows": [ours, *TINY, slower, elsewhere]}}) == {"onnxruntime": 0.667}
    assert leads({"tiny": {"rows": [ours, slower]}}) == {"onnxruntime": 1.25}
    assert leads({}) == {}


def test_the_page_has_each_rival_and_how_the_others_failed() -> None:
    stated = {"date": "2026-01-01T00:00:00", "runs": 5}
    report = {
        "cpu": {"name": "A CPU", "isa": ["avx2"]},
        "note": "A busy machine",
        "parts": {name: {**part, **stated, "model": name} for name, part in PARTS.items()},
        "verdicts": verdicts(PARTS, SAME_SPEED),
    }
    page = "\n".join(section(report))
    assert "A busy machine.\n" in page
    assert "| onnxruntime | far | 86.00 | 0.10 (-0.20 to 0.40) | 99.00 | 30.0 | 2.00 | 3.00 | 500.0 |" in page
    assert "- broken in onnxruntime failed: no such operator" in page
    assert "| slow | onnxruntime | yes | no | yes | **yes** |" in page
    assert "| far | onnxruntime | no | yes | - | no |" in page
    assert "| both | onnxruntime | [`both()`](https://example.org) | 1.0 |" in page
