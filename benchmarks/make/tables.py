"""Write what stands between the marks of both README.md and of pages in docs/, from results/.

python -m benchmarks.make.tables
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.make.accuracy_tables import (
    corruptions,
    fidelity,
    fidelity_cells,
    finetune,
    models,
    recipes,
)
from benchmarks.make.arm64_tables import arm64, arm64_phones, instruction_sets, int8_kernels, on_phones
from benchmarks.make.edge_tables import classification, dense, road, scaled
from benchmarks.make.rival_tables import rival_page
from benchmarks.make.speed_tables import architectures, callers, kernels, latency
from benchmarks.make.trust_tables import counts, fuzz, grid_kills, kills, silence, soak
from benchmarks.support.headline import headline
from benchmarks.support.markdown import Report, interval, table

FOLDER = Path(__file__).parents[1]
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"


def main() -> None:
    for path, text in filled().items():
        path.write_text(text, encoding="utf-8")


def filled() -> dict[Path, str]:
    """The pages as they should be."""
    paths = sorted(path for name in TABLES for path in (FOLDER / "results").glob(f"{name}-*.json"))
    sections = ["\n".join(section(path)) for path in paths]
    texts = {
        FOLDER / "README.md": {"tables": "\n\n".join(sections)},
        FOLDER.parent / "README.md": {"tables": headline()},
        FOLDER.parent / "docs" / "rivals.md": {"tables": rival_page()},
        FOLDER.parent / "docs" / "targets.md": {"tables": instruction_sets(), "phones": on_phones()},
        FOLDER.parent / "docs" / "table.md": {
            "classification": classification(),
            "roadmap": road(),
            "scaling": scaled(),
            "dense": dense(),
        },
    }
    return {path: between_marks(path.read_text(encoding="utf-8"), parts) for path, parts in texts.items()}


def between_marks(page: str, texts: dict[str, str]) -> str:
    """A page with texts between the marks of their names."""
    for name, text in texts.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = page.split(begin)
        after = rest.split(end)[1]
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def section(path: Path) -> Iterator[str]:
    report = json.loads(path.read_text(encoding="utf-8"))
    cpu = report["cpu"]
    saturates = "saturates" if cpu["int8_saturates"] else "does not saturate"
    yield f"### {path.name}"
    yield ""
    yield f"{report['date'][:10]}, {cpu['name']} ({', '.join(cpu['isa'])}): INT8 {saturates}."
    if report["note"]:
        yield f"{report['note'].removesuffix('.')}."
    yield ""
    yield from TABLES[report["benchmark"]](report)
    if report["bars"]:
        yield ""
        yield from table(("bar", "value", "limit", "met"), (bar_cells(bar) for bar in report["bars"]))


def ptq_cost(report: Report) -> Iterator[str]:
    yield from table(
        ("method", "seconds", "CPU seconds", "peak MiB"),
        (
            [method, f"{run['seconds']}", f"{run['cpu_seconds']}", f"{run['peak_rss_bytes'] / 2**20:.0f}"]
            for method, runs in report["runs"].items()
            for run in runs
        ),
    )


def embed(report: Report) -> Iterator[str]:
    yield from embed_arm64(report)
    yield ""
    yield "ConvNeXt-T, one thread, milliseconds (`start`: a fresh process of the sample, files in the cache):"
    yield ""
    header = (
        "runtime",
        "libraries MB",
        "start",
        "call in C++",
        "in Python",
        "C++ / Python (95 %)",
        "C++ end to end",
    )
    yield from table(header, (embed_cells(report, runtime) for runtime in report["latency"]))


def embed_cells(report: Report, runtime: str) -> Iterator[str]:
    start, timed = report["start"][runtime], report["latency"][runtime]
    yield runtime
    yield f"{sum(report['libraries'][runtime].values()) / 1e6:.1f}"
    yield f"{start['process_ms']['p50']:.0f}"
    yield f"{timed['cpp_ms']['p50']:.2f}"
    yield f"{timed['python_ms']['p50']:.2f}"
    yield f"{timed['ratio']:.3f} {interval(timed['ci95'])}"
    yield f"{start['end_to_end_ms']['p50']:.2f}"


def embed_arm64(report: Report) -> Iterator[str]:
    header = (
        "model",
        "runtime",
        "images",
        "identical logits",
        "agreement %",
        "SQNR dB",
        "dB of the median image",
        "dB of the worst image",
    )
    yield from table(header, (answer_cells(row) for row in report["answers"]))


def embed_bare(report: Report) -> Iterator[str]:
    yield f"Debian {report['suite']} with {' and '.join(report['installed'])}, built by `cmake` as printed:"
    yield ""
    header = ("runtime", "archives that CMake downloaded", "top-1", "in Python", "difference of probability")
    yield from table(header, (bare_cells(row) for row in report["answers"]))


def bare_cells(row: Report) -> Iterator[str]:
    yield row["runtime"]
    yield ", ".join(url.rpartition("/")[2] for url in row["downloaded"])
    yield from (row["found"], row["expected"], f"{row['difference']:.4f}")


def answer_cells(row: Report) -> Iterator[str]:
    yield row["model"]
    yield row["runtime"]
    yield f"{row['images']} of {row['data']}"
    yield str(row["identical"])
    yield f"{100 * row['agreement']:.2f}"
    for key in ("sqnr_db", "median_sqnr_db", "worst_sqnr_db"):
        yield "exact" if row[key] is None else f"{row[key]:.1f}"


def rtx_engines(report: Report) -> Iterator[str]:
    yield f"TensorRT-RTX {report['tensorrt_rtx']}, built without a GPU; nothing was run on one."
    yield ""
    header = ("variant", "precision", "engine MiB", "weights MiB", "INT8 products", "seconds", "CPU seconds")
    yield from table(
        header,
        (
            [
                row["variant"],
                row["precision"],
                *(f"{row[key] / 2**20:.1f}" for key in ("engine_bytes", "weight_bytes")),
                f"{row['int8_products']} of {row['quantized_layers']}" if row["quantized_layers"] else "-",
                *(f"{row[key]:.1f}" for key in ("seconds", "cpu_seconds")),
            ]
            for row in report["engines"]
        ),
    )
    yield ""
    simulated = ("demo in INT8", "images", "top-1 %", "drop, points (95 %)", "agreement % (95 %)", "SQNR dB")
    found = {**report["simulated"], "method": report["simulated"]["label"]}
    found["target"] = str(found["images"])
    yield from table(simulated, [fidelity_cells(found)])


def training_speed(report: Report) -> Iterator[str]:
    header = ("arithmetic", "torch.compile", "CPU ms a step", "CPU seconds to compile", "pays after steps")
    keys = ("precision", "compiled", "step_cpu_ms", "compile_cpu_seconds", "pays_after_steps")
    cells = ((row[key] for key in keys) for row in report["rows"])
    yield from table(header, (["-" if cell is None else f"{cell}" for cell in row] for row in cells))


def kill_resume(report: Report) -> Iterator[str]:
    trials = report["trials"]
    steps = ", ".join(f"{trial['resumed_at_step']}" for trial in trials)
    yield f"{len(trials)} kills; steps that the runs went on with: {steps}."


TABLES = {
    "fidelity": fidelity,
    "models": models,
    "corruptions": corruptions,
    "kernels": kernels,
    "callers": callers,
    "latency": latency,
    "ptq_cost": ptq_cost,
    "embed": embed,
    "embed_arm64": embed_arm64,
    "embed_bare": embed_bare,
    "arm64": arm64,
    "arm64_phones": arm64_phones,
    "int8_kernels": int8_kernels,
    "rtx_engines": rtx_engines,
    "relu_latency": latency,
    "architectures": architectures,
    "finetune": finetune,
    "training_speed": training_speed,
    "kill_resume": kill_resume,
    "grid_kills": grid_kills,
    "recipes": recipes,
    "fuzz": fuzz,
    "soak": soak,
    "silence": silence,
    "kills": kills,
    "kills_dense": kills,
    "race": counts,
    "disks": counts,
    "disks_dense": counts,
}


def bar_cells(bar: Report) -> list[str]:
    limit = f">= {number(bar['at_least'], 5)}" if "at_least" in bar else f"<= {number(bar['at_most'], 5)}"
    value = number(bar["value"], 4) if "value" in bar else "exact"
    return [bar["name"], value, limit, "yes" if bar["passed"] else "**no**"]


def number(value: float, digits: int) -> str:
    """A figure of so many digits, or all digits that a large one has before the point."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.{digits}g}"


if __name__ == "__main__":
    main()
