"""Results in notebooks: one line, a table, and pandas."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from convnext_edge.commands.result import Result
from convnext_edge.commands.sensitivity import LayerRow, Sensitivity
from convnext_edge.errors import UsageError


@dataclass(frozen=True)
class Sample(Result):
    artifact: Path
    sqnr_db: float
    label: str = ""
    rows: tuple[dict[str, Any], ...] = ()
    inner: dict[str, Any] = field(default_factory=dict)


ROWS = (LayerRow("<stem>", 20.0, 0.5, None), LayerRow("head", None, 0.1, 0.2))
LAYERS = Sensitivity("openvino", "demo", 8, ROWS, 1.0, Path("out/a.onnx"))


def test_a_result_is_one_short_line() -> None:
    assert repr(Sample(Path("out/a.onnx"), 36.12345678)) == "Sample(artifact='out/a.onnx', sqnr_db=36.123)"
    assert repr(Sample(Path("a"), 1.0, "x" * 1000, ({},))).endswith("x...', rows=<1 rows>)")
    assert "layers=<2 rows>" in repr(LAYERS)


def test_a_notebook_shows_a_table_of_the_rows_and_runs_no_name() -> None:
    shown = LAYERS._repr_html_()
    assert shown.count("<tr>") == 3
    assert "<td>&lt;stem&gt;</td>" in shown
    assert "<stem>" not in shown
    assert "fp32_ms" not in shown, "nobody measured it"


def test_a_notebook_shows_a_single_result_by_names() -> None:
    shown = Sample(Path("out/a.onnx"), 36.12345678)._repr_html_()
    assert "<td>sqnr_db</td><td>36.123</td>" in shown
    assert shown.count("<tr>") == 4, "a head and three values; no objects"


def test_pandas_gets_the_rows() -> None:
    pytest.importorskip("pandas", reason="needs pandas: pip install 'convnext-edge[pandas]'")
    frame = LAYERS.to_pandas()
    assert list(frame["name"]) == ["<stem>", "head"]
    single = Sample(Path("a"), 1.0, inner={"deep": 2}).to_pandas()
    assert (len(single), single["inner.deep"][0]) == (1, 2)


def test_without_pandas_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas") as caught:
        LAYERS.to_pandas()
    assert "convnext-edge[pandas]" in caught.value.hint
