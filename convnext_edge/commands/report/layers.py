"""What each layer costs in accuracy and takes in time, worst first, and the values of the worst."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnext_edge.commands.report.charts import Bar, Scale, Tick, histogram_bars
from convnext_edge.commands.report.groups import Group
from convnext_edge.commands.report.verdict import is_fp32, setting_of
from convnext_edge.commands.rows import Row, place_of
from convnext_edge.evaluation.records import Record

FIRST = 12  # layers that are shown before one asks for more


@dataclass(frozen=True)
class LayerLine:
    """A layer in the chart; widths are in percent of the longest."""

    name: str
    cost: str  # KL and SQNR as people read them; empty where nobody measured them
    cost_width: float
    times: str
    fp32_width: float
    int8_width: float


@dataclass(frozen=True)
class ValuesChart:
    """A histogram of the values of a layer, and the range that INT8 covers."""

    title: str
    text: str  # the range, and what it cuts off
    bars: tuple[Bar, ...]
    low: float  # ends of the range, in percent
    high: float
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class LayerValues:
    """The values of one layer."""

    name: str
    charts: tuple[ValuesChart, ...]


@dataclass(frozen=True)
class Layers:
    """The layers of a model on one runtime."""

    title: str
    lines: tuple[LayerLine, ...]
    values: tuple[LayerValues, ...]

    @property
    def first(self) -> tuple[LayerLine, ...]:
        """Those that are always shown."""
        return self.lines[:FIRST]

    @property
    def others(self) -> tuple[LayerLine, ...]:
        """Those behind them."""
        return self.lines[FIRST:]


def layers_of(group: Group) -> Iterator[Layers]:
    """Yield the layers of each result of `sensitivity`, or else of `benchmark --layers`.

    What ran on another machine, or was timed with other threads, is never in one chart.
    """
    ranked = {_place(record["result"]): record for record in group.sensitivities}
    timed = [line for line in group.lines if line.row.get("layers")]
    quantized = [line for line in timed if not is_fp32(line.row)]
    for place, record in ranked.items():
        own = next((line.row for line in quantized if _place(line.row) == place), None)
        yield _ranked(record, _counted(own, group.rows) if own else {"fp32": {}, "int8": {}})
    for line in quantized:
        if _place(line.row) not in ranked:
            times = _counted(line.row, group.rows)
            names = sorted(times["int8"], key=lambda name: -times["int8"][name])
            rows: list[dict[str, Any]] = [{"name": name} for name in names]
            title = f"{_where(line.row)}: time of layers of {line.key}, slowest first"
            yield Layers(title, _lines(rows, times), ())


def _place(found: Mapping[str, Any]) -> tuple[str, str]:
    """Return the runtime of a row or result, and the device; nothing for this machine."""
    return found["target"], place_of(dict(found))


def _where(found: Mapping[str, Any]) -> str:
    return " on ".join(filter(None, _place(found)))


def _counted(row: Row, others: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the milliseconds of layers by precision and name: of an INT8 row, and of FP32 in its setting."""
    setting = (row["target"], setting_of(row))
    same = [one for one in others if is_fp32(one) and (one["target"], setting_of(one)) == setting]
    fp32: list[dict[str, Any]] = next((one["layers"] for one in same if one.get("layers")), [])
    return {
        kind: {layer["name"]: layer["ms"] for layer in layers}
        for kind, layers in (("fp32", fp32), ("int8", row["layers"]))
    }


def _ranked(record: Record, times: dict[str, dict[str, float]]) -> Layers:
    result = record["result"]
    images = f"{result['images']} images of {Path(result['calibration']).name}"
    title = f"{_where(result)}: each layer alone in INT8, worst first ({images})"
    charts = [LayerValues(row["name"], tuple(_charts(row))) for row in result["layers"]]
    return Layers(title, _lines(result["layers"], times), tuple(one for one in charts if one.charts))


def _lines(rows: Sequence[Mapping[str, Any]], times: dict[str, dict[str, float]]) -> tuple[LayerLine, ...]:
    fp32 = [row.get("fp32_ms") or times["fp32"].get(row["name"]) for row in rows]
    int8 = [row.get("int8_ms") or times["int8"].get(row["name"]) for row in rows]
    slowest = max([ms for ms in [*fp32, *int8] if ms is not None] or [1.0]) or 1.0
    costliest = max([row.get("kl") or 0.0 for row in rows] or [1.0]) or 1.0
    return tuple(
        LayerLine(
            row["name"],
            _cost(row),
            round(100 * (row.get("kl") or 0.0) / costliest, 2),
            _times(before, after),
            round(100 * (before or 0.0) / slowest, 2),
            round(100 * (after or 0.0) / slowest, 2),
        )
        for row, before, after in zip(rows, fp32, int8, strict=True)
    )


def _cost(row: Mapping[str, Any]) -> str:
    if "kl" not in row:
        return ""
    return f"{row['kl']:.1e} nats" + ("" if row["sqnr_db"] is None else f", {row['sqnr_db']:.1f} dB")


def _times(fp32: float | None, int8: float | None) -> str:
    known = [f"{name} {ms:.3f}" for name, ms in (("FP32", fp32), ("INT8", int8)) if ms is not None]
    ratio = f" ({fp32 / int8:.1f}x)" if fp32 and int8 else ""
    return f"{', '.join(known)} ms{ratio}" if known else ""


def _charts(row: Mapping[str, Any]) -> Iterator[ValuesChart]:
    for key, title in (
        ("weights", "Weights, in codes of their channel"),
        ("activations", "Input of the layer"),
    ):
        if found := row.get(key):
            scale = Scale.over([*found["edges"], found["low"], found["high"]])
            text = f"INT8 covers {found['low']:.4g} to {found['high']:.4g}; {share(found['clipped'])} cut off"
            bars = tuple(histogram_bars(found["edges"], found["shares"], scale, log=True))
            yield ValuesChart(
                title, text, bars, scale(found["low"]), scale(found["high"]), tuple(scale.marks())
            )


def share(part: float) -> str:
    """Return a share as people read it: of very small ones, parts in a million."""
    if part == 0:
        return "nothing"
    return f"{part:.2%}" if part >= 1e-4 else f"{1e6 * part:.2g} in a million"
