"""Benchmarks that take long: what was measured is kept, and what is not to be relied on is told."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from support.places import ROOT

from benchmarks.measure import scaling, variants
from benchmarks.support import long_runs, turns
from benchmarks.support.long_runs import LongRun, Plan, figures, wait_for_quiet
from benchmarks.support.making import file_bytes, kept
from benchmarks.support.reports import Reporting
from benchmarks.support.turns import Contender, LostError, take_turns
from convnext_edge.artifacts.provenance import tool_versions
from convnext_edge.checkpoints.sizes import SIZES, UNPUBLISHED
from convnext_edge.checkpoints.variants import find_variant
from convnext_edge.rivals import turn

PLAN = Plan(only=(), runs=3, seconds=1, minutes=10, patience=0)


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(ROOT / "benchmarks" / "measure" / "variants.py")])
    monkeypatch.setattr(long_runs, "others_cpus", lambda: 0.0)
    monkeypatch.setattr(long_runs, "SCRATCH", tmp_path / "scratch")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., LongRun]:
    """Begins a run of a benchmark, as the same command does each time."""

    def begin(**changes: Any) -> LongRun:
        plan = Plan(**{**vars(PLAN), **changes})
        return LongRun("toy", plan, Reporting(tmp_path / "results", note="", cpu_name=None))

    return begin


def measuring(names: str, done: list[str]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Rows that note when they are measured, in capitals those that kill the script."""

    def measure(name: str) -> dict[str, Any]:
        if name.isupper():
            raise KeyboardInterrupt
        done.append(name)
        return {"value": name}

    return {name: lambda name=name: measure(name) for name in names}  # type: ignore[misc]


# A run that is stopped


def test_a_stopped_run_goes_on_where_it_was(run: Callable[..., LongRun]) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run().measure(measuring("abC", done))
    rows = run().measure(measuring("abcd", done))
    assert done == ["a", "b", "c", "d"]
    assert [row["value"] for row in rows.values()] == ["a", "b", "c", "d"]


def test_models_of_a_stopped_run_are_kept_and_those_of_another_are_not(run: Callable[..., LongRun]) -> None:
    left = run().scratch / "model"
    left.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        run().measure(measuring("A", []))  # the first run finds what none of its own has left
    assert not left.exists()
    left.mkdir(parents=True)
    run().measure(measuring("a", []))
    assert left.exists()


def test_a_run_with_other_settings_does_not_go_on(run: Callable[..., LongRun]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run().measure(measuring("aB", []))
    with pytest.raises(click.UsageError, match=r"other settings.*'runs': 3.*remove the file"):
        run(runs=4).measure(measuring("ab", []))
    other = run()
    other.asked = {"steps": ["ResNet-50"]}
    with pytest.raises(click.UsageError, match="other settings"):
        other.measure(measuring("ab", []))


def test_minutes_that_are_over_end_a_run_which_goes_on(run: Callable[..., LongRun]) -> None:
    done: list[str] = []
    late = run(minutes=0)
    late.started -= 1
    with pytest.raises(click.ClickException, match="0 of 2 rows"):
        late.measure(measuring("ab", done))
    assert list(run().measure(measuring("ab", done))) == done == ["a", "b"]


def test_a_row_that_fails_stops_no_other_and_is_tried_again(run: Callable[..., LongRun]) -> None:
    def fails() -> dict[str, Any]:
        raise LostError("out of memory?")

    first = run()
    rows = first.measure({"big": fails, **measuring("a", [])})
    assert rows["big"] == {"failed": "LostError: out of memory?"}
    assert rows["a"]["value"] == "a"
    first.scratch.mkdir(parents=True)
    with pytest.raises(SystemExit):  # a bar is not met: that all rows are there
        first.finish({"rows": rows}, [], of=2)
    assert first.scratch.exists(), "the next run makes no model again"
    done: list[str] = []
    again = run().measure(measuring("a", done) | {"big": lambda: {"value": 1}})
    assert (done, again["big"]["value"]) == ([], 1)


def test_a_report_of_some_rows_keeps_the_others(run: Callable[..., LongRun], tmp_path: Path) -> None:
    whole = run()
    rows = whole.measure(measuring("ab", []))
    whole.finish({"rows": rows}, [], of=2)
    assert not whole.partial.exists()
    done: list[str] = []
    part = run(only=("b",))
    rows = part.measure(measuring("ab", done))
    assert (done, list(rows)) == (["b"], ["a", "b"])
    written = json.loads(whole.reporting.path("toy").read_text(encoding="utf-8"))
    assert list(written["rows"]) == ["a", "b"]
    assert written["bars"][0] == {"name": "rows measured", "value": 2, "at_least": 2, "passed": True}


def test_a_busy_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([1.5, 0.9, 0.05])
    monkeypatch.setattr(long_runs, "others_cpus", lambda: next(found))
    assert wait_for_quiet(60) == 0.05
    monkeypatch.setattr(long_runs, "others_cpus", lambda: 1.5)
    assert wait_for_quiet(0) == 1.5  # and told in the row


# Making and timing


def make(folder: Path) -> dict[str, Path]:
    (folder / "model.onnx").write_bytes(b"12345")
    return {"torch fp32": folder / "model.onnx"}


def refuse(folder: Path) -> dict[str, Path]:
    raise AssertionError(f"{folder} was made again")


@pytest.mark.slow
def test_what_was_made_completely_is_not_made_again(tmp_path: Path) -> None:
    first = kept(tmp_path, {"a": make})
    assert first == kept(tmp_path, {"a": refuse}) == {"a": {"torch fp32": tmp_path / "a" / "model.onnx"}}


def test_the_bytes_of_a_model_are_those_of_its_own_files(tmp_path: Path) -> None:
    for name, count in {"m.xml": 1, "m.bin": 20, "m.onnx": 300, "n.onnx": 4, "n.onnx.data": 5000}.items():
        (tmp_path / name).write_bytes(bytes(count))
    assert [file_bytes(tmp_path / name) for name in ("m.xml", "m.onnx", "n.onnx")] == [21, 300, 5004]


@pytest.mark.slow
def test_a_process_that_ends_by_itself_is_named(tmp_path: Path) -> None:
    with pytest.raises(LostError, match="the process of gone ended by itself"):
        take_turns({"gone": Contender("onnxruntime", tmp_path / "none.onnx")}, 1, 1)


def test_large_models_take_turns_by_runtime() -> None:
    path = Path("m.onnx")
    fp32, bf16 = Contender("openvino", path), Contender("openvino", path, bfloat16=True)
    torch, ort = Contender("torch", path), Contender("onnxruntime", path)
    groups = variants.by_runtime({"a": fp32, "b": torch, "c": ort, "d": bf16})
    assert groups == [{"a": fp32, "d": bf16}, {"b": torch}, {"c": ort}]


@pytest.mark.parametrize(("too_long", "calls"), [(float("inf"), turn.WARM_UP), (0.0, 1)])
def test_a_long_call_is_warmed_up_once(monkeypatch: pytest.MonkeyPatch, too_long: float, calls: int) -> None:
    monkeypatch.setattr(turns, "TOO_LONG", too_long)
    made: list[int] = []
    assert turns.warm_up(lambda: made.append(1)) > 0
    assert len(made) == calls


@pytest.mark.parametrize(("fills", "calls"), [(True, 2), (False, 1)])
def test_a_turn_times_its_last_call(monkeypatch: pytest.MonkeyPatch, fills: bool, calls: int) -> None:
    monkeypatch.setattr(turn, "SETTLE", 0)
    seconds = [0.02, 0.0]  # taken from the end

    def call() -> None:
        time.sleep(seconds.pop())

    found = turn.take_turn(call, fills=fills)
    assert len(seconds) == 2 - calls
    assert calls == 1 or found.milliseconds >= 20  # of the call behind the first


def test_figures_are_medians_with_the_doubts() -> None:
    calls = np.array([[10.0, 0, 9], [12, 0, 9], [50, 0, 30]])
    found = figures(calls, images=3)
    assert (found["p50_ms"], found["min_ms"], found["cpu_ms"], found["rounds"]) == (12, 10, 9, 3)
    assert found["images_per_second"] == 250  # 3 images in 12 ms
    assert "doubt" not in found
    assert figures(calls * [[1], [5], [5]])["doubt"] == "the median is 6.0 times the least time"


# The rows


def test_the_table_has_all_sizes_of_both_papers_and_says_whose_top1_it_is() -> None:
    papers = {
        name for name in SIZES if not name.endswith(("_ols", "_rms", "_hnf", "_mlp")) and name != "xxlarge"
    }
    assert set(variants.V1 + variants.V2) == papers
    known = [find_variant(name) for name in variants.NAMES if name not in UNPUBLISHED]
    assert len(known) == len(variants.NAMES) - 1
    assert [find_variant(name).resolution for name in variants.AT_384] == [384, 384]
    sources = {v.name: variants.source_of(v.source, v.published_top1) for v in known}
    assert sources["tiny"] == "README of facebookresearch/ConvNeXt"
    assert sources["v2_huge"] == "README of facebookresearch/ConvNeXt-V2"
    assert sources["atto"] == "results-imagenet.csv of timm"
    assert sources["tiny.dinov3_lvd1689m"] is None


def test_scaling_has_the_batches_threads_streams_and_sizes_that_it_promises() -> None:
    rows = list(scaling.settings())
    assert len({row.name for row in rows}) == len(rows)
    for threads in (1, 2):
        single = [row for row in rows if row.threads == threads and row.streams is None]
        assert sorted({row.batch for row in single}) == [1, 2, 4, 8, 16, 32]
        assert sorted({row.size for row in single}) == [160, 224, 288, 384, 512]
    assert [row.streams for row in rows if row.streams] == [1, 2]


def test_settings_that_rows_share_tell_the_versions() -> None:
    assert PLAN.settings() == {"runs": 3, "seconds": 1, "versions": tool_versions()}
