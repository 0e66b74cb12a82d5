"""The tables of the reports on how close INT8 comes to FP32, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.support.markdown import Report, interval, table


def fidelity(report: Report) -> Iterator[str]:
    yield f"{report['model']}, {report['data']['images']} images of {report['data']['name']}."
    yield ""
    header = ("method", "runs in", "top-1 %", "drop, points (95 %)", "agreement % (95 %)", "SQNR dB")
    yield from table(header, (fidelity_cells(row) for row in report["methods"]))
    yield ""
    yield "One INT8 file in two runtimes; the last of each file is the simulation against itself, see above:"
    yield ""
    compared = ("file", "runtimes", "agreement %", "SQNR dB", "dB of the median image")
    yield from table(compared, (same_file_cells(row) for row in report["same_file"]))


def corruptions(report: Report) -> Iterator[str]:
    first = next(iter(report["targets"].values()))
    yield f"{report['model']}, {first['images']} images, as bad as {first['severities']}."
    yield ""
    header = ("target", "drop of clean images, points", "extra drop of the mean of 75 cells, points (95 %)")
    yield from table((*header, "worst cell"), (corruption_cells(*row) for row in report["targets"].items()))


def corruption_cells(target: str, found: Report) -> Iterator[str]:
    worst = max(found["cells"], key=lambda cell: cell["drop_points"])
    yield target
    yield f"{found['clean_drop_points']:.2f}"
    yield f"{found['extra_drop_points']:.2f} {interval(found['extra_drop_ci95_points'])}"
    yield f"{worst['kind']} {worst['severity']}: {worst['drop_points']:.2f}"


def models(report: Report) -> Iterator[str]:
    header = (
        "model",
        "classes",
        "images",
        "FP32 top-1 %",
        "method",
        "runs in",
        "top-1 %",
        "drop, points (95 %)",
    )
    yield from table((*header, "agreement % (95 %)", "SQNR dB"), model_rows(report["models"]))


def model_rows(models: Report) -> Iterator[list[str]]:
    for name, model in models.items():
        told = [name, f"{model['classes']}", f"{model['images']}"]
        for row in model["methods"]:
            yield [*told, f"{100 * row['reference_top1']:.2f}", *fidelity_cells(row)]
        for refused in model["refused"]:
            yield [
                *told,
                "",
                refused["method"],
                refused["target"],
                f"refused: {refused['error']}",
                "",
                "",
                "",
            ]


def fidelity_cells(row: Report) -> Iterator[str]:
    yield row["method"]
    yield row["target"]
    labelled = row["candidate_top1"] is not None
    yield f"{100 * row['candidate_top1']:.2f}" if labelled else "-"
    yield f"{row['drop_points']:.2f} {interval(row['drop_ci95_points'])}" if labelled else "-"
    yield f"{100 * row['agreement']:.2f} {interval(100 * end for end in row['agreement_ci95'])}"
    yield "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}"


def same_file_cells(row: Report) -> Iterator[str]:
    yield row["file"]
    yield " / ".join(row["runtimes"])
    yield f"{100 * row['agreement']:.1f}"
    for key in ("sqnr_db", "median_sqnr_db"):
        yield "exact" if row[key] is None else f"{row[key]:.1f}"


def recipes(report: Report) -> Iterator[str]:
    yield f"{report['model']}, {report['data']['images']} images of {report['data']['name']}."
    yield ""
    header = (
        "recipe",
        "target",
        "precision",
        "KiB",
        "drop, points (95 %)",
        "agreement % (95 %)",
        "SQNR dB",
        "over default, dB (95 %)",
    )
    yield from table(header, (recipe_cells(row) for row in report["rows"]))
    yield ""
    yield f"Latency of {report['latency_of']}:"
    yield ""
    timed = ("recipe", "target", "precision", "MiB", "p50 ms", "FP32 p50 ms", "times as fast as FP32 (95 %)")
    yield from table(timed, (recipe_latency_cells(row) for row in report["latency"]))


def recipe_cells(row: Report) -> Iterator[str]:
    yield from (row["recipe"], row["target"], row["precision"], f"{row['bytes'] / 2**10:.0f}")
    yield f"{row['drop_points']:.2f} {interval(row['drop_ci95_points'])}"
    yield f"{100 * row['agreement']:.2f} {interval(100 * end for end in row['agreement_ci95'])}"
    yield f"{row['sqnr_db']:.1f}"
    yield f"{row['over_default_db']:+.2f} {interval(row['over_default_ci95'])}"


def recipe_latency_cells(row: Report) -> Iterator[str]:
    yield from (row["recipe"], row["target"], row["precision"], f"{row['bytes'] / 2**20:.1f}")
    yield from (f"{row['p50_ms']:.1f}", f"{row['fp32_p50_ms']:.1f}")
    yield f"{row['times_fp32']:.2f} {interval(row['times_fp32_ci95'])}"


def finetune(report: Report) -> Iterator[str]:
    rows = report["rows"]
    images = next(iter(rows.values()))["images"]
    yield f"{report['model']}, {images} images, {report['threads']} threads."
    yield ""
    header = ("what", "steps", "seconds", "CPU seconds", "top-1 %", "drop, points (95 %)", "agreement %")
    yield from table((*header, "SQNR dB"), (finetune_cells(name, row) for name, row in rows.items()))


def finetune_cells(name: str, row: Report) -> Iterator[str]:
    yield name
    yield from (f"{row[key]}" for key in ("steps", "seconds", "cpu_seconds"))
    yield f"{100 * row['candidate_top1']:.2f}"
    yield f"{row['drop_points']:.2f} {interval(row['drop_ci95_points'])}"
    yield f"{100 * row['agreement']:.2f}"
    yield f"{row['sqnr_db']:.1f}"
