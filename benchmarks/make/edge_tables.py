"""The page docs/table.md, from the reports of variants.py, roadmap.py, scaling.py and dense.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.support.markdown import Report, interval, table

RESULTS = Path(__file__).parents[1] / "results"
RUNTIMES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}
# what was timed of each network, and the heads of their columns
TIMED = {
    "torch fp32": "PyTorch FP32",
    "openvino fp32": "OpenVINO FP32",
    "openvino bf16": "OpenVINO bf16",
    "openvino int8": "OpenVINO INT8",
    "onnxruntime fp32": "ONNX Runtime FP32",
    "onnxruntime int8": "ONNX Runtime INT8",
}
OURS = "ours"  # of what `dense.py` times
QUIET = 0.1  # of each CPU: what others may take where figures are to be relied on


def classification() -> str:
    return pages("variants", variants)


def road() -> str:
    return pages("roadmap", roadmap)


def scaled() -> str:
    return pages("scaling", scaling)


def dense() -> str:
    return pages("dense", dense_prediction)


def pages(name: str, write: Callable[[Report], Iterator[str]]) -> str:
    """The sections of all reports of a name, a CPU family each."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob(f"{name}-*.json"))]
    none = f"No report is here yet; `python -m benchmarks.measure.{name}` writes one."
    return "\n\n".join("\n".join([*head(report), "", *write(report)]) for report in found) or none


def head(report: Report) -> Iterator[str]:
    """What was measured where."""
    cpu, versions = report["cpu"], report["versions"]
    yield f"### {cpu['name']} ({', '.join(cpu['isa'])})"
    yield ""
    yield (
        f"{report['date'][:10]}, {report['model']}; up to {report['runs']} rounds. OpenVINO"
        f" {versions['openvino']}, ONNX Runtime {versions['onnxruntime']}, PyTorch {versions['torch']}, NNCF"
        f" {versions['nncf']}."
    )
    if report["note"]:
        yield f"{report['note'].removesuffix('.')}."


def warnings(rows: dict[str, Report]) -> Iterator[str]:
    """Lines on rows that failed, and on those that were not measured on a quiet machine."""
    yield from (f"- {name} failed: {row['failed']}" for name, row in rows.items() if "failed" in row)
    busy = {
        name: max(found)
        for name, row in rows.items()
        if (found := [load for load in row.get("others_cpus", []) if load is not None])
    }
    if told := [load for load in busy.values() if load > 2 * QUIET]:
        yield (
            f"- Before or after {len(told)} of {len(rows)} rows, others kept CPUs busy, up to"
            f" {max(told):.1f} of them (`others_cpus` of the report). If they ran in between, too (see the"
            " line above the tables), milliseconds are too many."
        )


# --- the classification table ----------------------------------------------------------------------


def variants(report: Report) -> Iterator[str]:
    worked = {name: row for name, row in report["rows"].items() if "failed" not in row}
    seen = {name for row in worked.values() for name in row["timed"]}
    timed = {name: text for name, text in TIMED.items() if name in seen}
    facts = ("model", "px", "params", "MACs", "FP32 MiB", "INT8 MiB")
    yield "Images a second, one at a time on one thread:"
    yield ""
    header = (*facts, *timed.values(), "top-1 %", "top-1 from", "INT8 by")
    yield from table(header, (classified(name, row, timed) for name, row in worked.items()))
    yield ""
    yield "The same in milliseconds (95 % intervals), and times as fast as FP32 in the same runtime:"
    yield ""
    gains = {name: f"{text} gain" for name, text in timed.items() if not name.endswith("fp32")}
    columns = [(name, kind) for name in timed for kind in ("ms", "gain") if kind == "ms" or name in gains]
    header = ("model", *(gains[name] if kind == "gain" else timed[name] for name, kind in columns))
    yield from table(header, (milliseconds(name, row, columns) for name, row in worked.items()))
    yield from listed(warnings(report["rows"]))


def classified(name: str, row: Report, timed: Iterable[str]) -> Iterator[str]:
    yield f"`{name}`" if row["kind"] == "convnext" else name
    yield f"{row['resolution']}"
    yield f"{row['params'] / 1e6:.1f}M"
    yield f"{row['macs'] / 1e9:.2f}G"
    yield from (f"{row['bytes'][f'openvino {kind}'] / 2**20:.1f}" for kind in ("fp32", "int8"))
    for what in timed:
        found = row["timed"].get(what)
        yield "-" if found is None else marked(f"{found['images_per_second']:.1f}", found)
    yield "-" if row["top1"] is None else f"{100 * row['top1']:.1f}"
    yield row["source"] or "-"
    yield row["int8_by"]


def milliseconds(name: str, row: Report, columns: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"`{name}`" if row["kind"] == "convnext" else name
    for what, kind in columns:
        found = row["timed"].get(what)
        if found is None:
            yield "-"
        elif kind == "ms":
            yield marked(f"{found['p50_ms']:.2f} {interval(found['p50_ci95_ms'])}", found)
        else:
            yield times(row["times_fp32"][what])


def times(ratio: Report | None) -> str:
    return "-" if ratio is None else f"{ratio['ratio']:.2f}x {interval(ratio['ci95'])}"


def marked(text: str, found: Report) -> str:
    """A figure, with a mark where the machine was too uneven for it to be relied on."""
    return f"{text} (?)" if "doubt" in found else text


def listed(lines: Iterator[str]) -> Iterator[str]:
    """Lines behind an empty one; nothing where there are none."""
    for number, line in enumerate(lines):
        if not number:
            yield ""
        yield line


# --- the road from ResNet-50 -----------------------------------------------------------------------


def roadmap(report: Report) -> Iterator[str]:
    steps, rows = report["steps"], report["rows"]
    yield "Multiply-adds as PyTorch counts them, beside the GFLOPs and the top-1 of the paper's table 10:"
    yield ""
    header = ("step", "GMACs", "paper's", "off by", "params", "paper's top-1 %")
    yield from table(header, (described(name, step) for name, step in steps.items()))
    yield from listed(f"- {name}: {s['explained']}." for name, s in steps.items() if s["explained"])
    for runtime, row in rows.items():
        if "failed" in row:
            continue
        yield ""
        yield f"{RUNTIMES[runtime]}: milliseconds, and times as long as other steps take (95 %):"
        yield ""
        parts = ("ms", "over the step before", "over the first")
        timed = (f"{kind}: {part}" for kind in ("FP32", "INT8") for part in parts)
        walks = (walked(name, step, steps) for name, step in row["steps"].items())
        yield from table(("step", *timed, "INT8 gain"), walks)
    yield from listed(warnings(rows))


def described(name: str, step: Report) -> Iterator[str]:
    yield shown_step(name, step)
    yield f"{step['macs'] / 1e9:.3f}"
    yield f"{step['paper_gflops']:.2f}"
    yield f"{step['off_percent']:.2f} %"
    yield f"{step['params'] / 1e6:.1f}M"
    yield f"{step['paper_top1']:.2f}"


def shown_step(name: str, step: Report | None) -> str:
    return f"({name})" if step is not None and not step["kept"] else name


def walked(name: str, step: Report, steps: dict[str, Report]) -> Iterator[str]:
    yield shown_step(name, steps.get(name))
    for kind in ("fp32", "int8"):
        found = step["timed"][kind]
        yield marked(f"{found['p50_ms']:.2f} {interval(found['p50_ci95_ms'])}", found)
        yield times(step["over_before"][kind])
        yield times(step["over_first"][kind])
    yield times(step["int8_gain"])


# --- scaling ---------------------------------------------------------------------------------------


def scaling(report: Report) -> Iterator[str]:
    worked = [row for row in report["rows"].values() if "failed" not in row]
    single = [row for row in worked if row["streams"] is None]
    parts = {
        "batch": [row for row in single if row["size"] == 224],
        "px": [row for row in single if row["batch"] == 1],
        "streams": [row for row in worked if row["streams"] is not None],
    }
    keys = {"batch": "batch", "px": "size", "streams": "streams"}
    for number, (name, rows) in enumerate((name, rows) for name, rows in parts.items() if rows):
        if number:
            yield ""
        yield f"By {name}: images a second, and milliseconds of a call" + (
            " while others are in flight:" if name == "streams" else ":"
        )
        yield ""
        columns = [f"{text} {kind.upper()}" for text in RUNTIMES.values() for kind in ("fp32", "int8")]
        gains = [f"{text} INT8 gain" for text in RUNTIMES.values()] if name != "streams" else []
        header = ("threads", name, *columns, *gains)
        rows.sort(key=lambda row: (row["threads"], row[keys[name]]))
        yield from table(header, (scaled_cells(row, keys[name], bool(gains)) for row in rows))
    yield from listed(warnings(report["rows"]))


def scaled_cells(row: Report, key: str, gains: bool) -> Iterator[str]:
    yield from (f"{row['threads']}", f"{row[key]}")
    for runtime in RUNTIMES:
        for kind in ("fp32", "int8"):
            found = row["timed"][f"{runtime} {kind}"]
            yield marked(f"{found['images_per_second']:.1f} ({found['p50_ms']:.1f} ms)", found)
    if gains:
        yield from (times(row["int8_gain"][runtime]) for runtime in RUNTIMES)


# --- dense prediction ------------------------------------------------------------------------------


def dense_prediction(report: Report) -> Iterator[str]:
    rows: dict[str, Report] = {name: row for name, row in report["rows"].items() if "failed" not in row}
    yield "Milliseconds of an image, and times as fast as others ours is (95 %):"
    for timed in dict.fromkeys(tuple(row["timed"]) for row in rows.values()):
        yield ""
        header = ("model", *timed, *(f"ours over {who}" for who in timed if who != OURS))
        alike = ((name, row) for name, row in rows.items() if tuple(row["timed"]) == timed)
        yield from table(header, (dense_cells(name, row, timed) for name, row in alike))
    yield from listed(warnings(report["rows"]))


def dense_cells(name: str, row: Report, timed: Iterable[str]) -> Iterator[str]:
    yield name
    for who in timed:
        found = row["timed"][who]
        yield marked(f"{found['p50_ms']:.0f} {interval(found['p50_ci95_ms'])}", found)
    yield from (times(row["ours_over"][who]) for who in timed if who != OURS)
