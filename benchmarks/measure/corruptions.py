"""Whether INT8 loses more where the picture is bad: the demo model on the 75 corruptions of ImageNet-C.

    python -m benchmarks.measure.corruptions
    python -m benchmarks.measure.corruptions --target openvino --limit 200

Both models see the same images, clean and corrupted, as `validate --corruptions` shows them. The report has
its cells by target, and the bar is on the mean drop of the cells less that of clean images. A report that is
there already keeps its other targets. `--validated` is what `validate --corruptions --json` printed, in place
of a run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.study import OPENVINO, ORT
from convnext_edge import export, quantize, validate
from convnext_edge.evaluation.record_shapes import ValidateShape
from convnext_edge.reading import read_json

EXTRA_DROP = 0.3  # points


def measure(target: str, limit: int | None) -> dict[str, Any]:
    """The demo model in INT8 for a target."""
    with tempfile.TemporaryDirectory() as folder:
        plain = export("demo", workspace=folder)
        made = quantize(plain.artifact, calib="demo", target=target, timing=False, workspace=folder)
        found = validate(made.artifact, data="demo", limit=limit, corruptions=True, workspace=folder)
    return row(found.to_json())


def row(result: dict[str, Any]) -> dict[str, Any]:
    """What the report has of a result of `validate`."""
    told = {key: result[key] for key in ("agreement", "drop_points")}
    ece = {key: result["beyond_top1"][key] for key in ("reference_ece", "candidate_ece")}
    return {**told, **ece, **result["corruptions"]}


def validated(path: Path) -> tuple[str, dict[str, Any]]:
    """Target, and what the report has of it, of a result in a file."""
    result = read_json(path, ValidateShape, hint="Give what `validate --corruptions --json` printed.")
    return result["target"], row(result)


def check(targets: dict[str, dict[str, Any]]) -> Iterator[Bar]:
    for target, found in targets.items():
        extra = found["extra_drop_points"]
        yield Bar(f"{target}: extra drop in the mean of 75 cells, points", extra, at_most=EXTRA_DROP)


@click.command(help=__doc__)
@click.option("--target", "targets", type=click.Choice([OPENVINO, ORT]), multiple=True)
@click.option("--validated", "validated_files", type=click.Path(exists=True, path_type=Path), multiple=True)
@click.option("--limit", type=int, help="Evaluate on that many of the images, drawn by a fixed seed.")
@report_options
def main(
    targets: tuple[str, ...], validated_files: tuple[Path, ...], limit: int | None, reporting: Reporting
) -> None:
    found: dict[str, Any] = reporting.earlier("corruptions").get("targets", {})
    found |= dict(map(validated, validated_files))
    for target in targets or (() if validated_files else (OPENVINO, ORT)):
        found[target] = measure(target, limit)
    reporting.finish("corruptions", {"model": "demo", "targets": found}, check(found))


if __name__ == "__main__":
    main()
