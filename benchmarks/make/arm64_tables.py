"""Tables of what is executed on 64-bit ARM, and of the kernels that INT8 gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from benchmarks.support.markdown import Report, table

RESULTS = Path(__file__).parents[1] / "results"
SHOWN = 8  # operators of a model; the rest are summed
CLASSES = {
    "8-bit products": ("dot", "i8mm", "widening"),
    "fma": ("fma",),
    "other SIMD": ("simd",),
    "vector loads, stores": ("vector_load", "vector_store"),
    "other loads, stores": ("load", "store"),
    "branches": ("branch",),
    "other": ("integer",),
}
# the instruction sets of the table, by the names in `results`, in its order
SETS = {
    ("x86-64", "avx2"): "x86-64 without VNNI",
    ("x86-64", "avx512_vnni"): "x86-64 with VNNI",
    ("aarch64", "asimd"): "ARM64 without `asimddp`",
    ("aarch64", "asimddp"): "ARM64 with `asimddp`",
    ("aarch64", "i8mm"): "ARM64 with `i8mm`",
}

WORDS = {True: "yes", False: "**no**", None: "does not run"}  # by whether INT8 is multiplied in INT8


def arm64(report: Report) -> Iterator[str]:
    yield f"**A simulation**: {report['simulation']}. {report['emulator']}. Millions an image:"
    yield ""
    header = ("model", "runtime", "precision", "form", "CPU", "all", *CLASSES)
    yield from table(header, (row_cells(row) for row in report["rows"]))
    yield ""
    yield "By operator, millions an image:"
    yield ""
    header = ("model", "runtime", "precision", "form", "operator", "nodes", "all", *CLASSES)
    yield from table(header, operator_cells(report["operators"]))


def arm64_phones(report: Report) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in report["runtimes"].items())
    yield f"**A simulation**: {report['simulation']}. {report['emulator']}; {versions}. Millions an image:"
    yield ""
    header = ("model", "target", "precision", "form", "CPU", "all", *CLASSES, "engine MB", "SQNR dB")
    yield from table(header, (phone_cells(row) for row in report["rows"]))


def phone_cells(row: Report) -> list[str]:
    return [*row_cells(row), millions(row["engine_bytes"]), f"{row['sqnr_db']:.1f}"]


def row_cells(row: Report) -> list[str]:
    named = [row[key] for key in ("model", "runtime", "precision", "form", "cpu")]
    return [*named, millions(row["instructions"]), *class_cells(row["by_class"])]


def operator_cells(rows: list[Report]) -> Iterator[list[str]]:
    """The largest operators of each model; the rest in one row."""
    keys = ("model", "runtime", "precision", "form")
    for names, group in groupby(rows, lambda row: tuple(row[key] for key in keys)):
        found = list(group)
        for row in found[:SHOWN]:
            yield operator_row(names, row["operator"], [row])
        if len(found) > SHOWN:
            yield operator_row(names, "the rest", found[SHOWN:])


def operator_row(names: tuple[str, ...], operator: str, rows: list[Report]) -> list[str]:
    counts = {name: sum(row["by_class"][name] for row in rows) for name in rows[0]["by_class"]}
    nodes = sum(row["nodes"] for row in rows)
    return [*names, operator, str(nodes), millions(sum(counts.values())), *class_cells(counts)]


def class_cells(counts: Report) -> list[str]:
    return [millions(sum(counts[name] for name in names)) for names in CLASSES.values()]


def millions(count: int) -> str:
    return f"{count / 1e6:.1f}"


def int8_kernels(report: Report) -> Iterator[str]:
    header = (
        "target",
        "form",
        "machine",
        "instructions",
        "emulated",
        "INT8",
        "kernels, or 8-bit products and fma",
    )
    yield from table(header, (kernel_cells(row) for row in report["rows"]))


def kernel_cells(row: Report) -> list[str]:
    told = [f"{count} {kernel}" for kernel, count in sorted((row["kernels"] or {}).items())]
    if counts := row.get("by_class"):
        told.append(" and ".join(class_cells(counts)[:2]) + " million")
    if refused := row.get("refused"):
        told.append(f"does not run: {refused}")
    named = [row[key] for key in ("target", "form", "machine", "instructions")]
    return [*named, row["emulated"] or "no", WORDS[row["int8"]], ", ".join(told)]


def instruction_sets() -> str:
    """The table of docs/targets.md: a row for each target and form, a column for each instruction set."""
    (path,) = RESULTS.glob("int8_kernels-*.json")
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    found = {(r["target"], r["form"], r["machine"], r["instructions"]): WORDS[r["int8"]] for r in rows}
    forms = dict.fromkeys((row["target"], row["form"]) for row in rows)
    cells = (
        [f"`{target}`", form, *(found.get((target, form, *key), "-") for key in SETS)]
        for target, form in forms
    )
    return "\n".join(table(("target", "form", *SETS.values()), cells))


def on_phones() -> str:
    """The table of docs/targets.md: what an image executes in the runtimes for phones."""
    (path,) = RESULTS.glob("arm64_phones-*.json")
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    found = {(r["model"], r["runtime"], r["precision"], r["form"]): r for r in rows if r["cpu"] == "asimddp"}
    models = list(dict.fromkeys(row["model"] for row in rows))
    kinds = dict.fromkeys((row["runtime"], row["precision"], row["form"]) for row in rows)
    counts = {key: millions(row["instructions"]) for key, row in found.items()}
    cells = (
        [f"`{kind[0]}`", *kind[1:], *(counts.get((model, *kind), "-") for model in models)] for kind in kinds
    )
    return "\n".join(table(("target", "precision", "form", *models), cells))
