"""Ours and every rival in one run: the demo model for closeness, ConvNeXt-T (random weights, 224) for speed.

    python -m benchmarks.measure.rivals
    python -m benchmarks.measure.rivals --part tiny --minutes 3     # the other part stays as it was measured

`make rivals` makes the environments of those whose packages exclude ours; one that is not there is a row that
says so. All are timed in turns, in one thread: see convnext_edge/rivals/measure.py.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks.support.reports import ROOT, Bar, Reporting, report_options
from benchmarks.support.rivals import PARTS, both, leads, verdicts
from convnext_edge import compare, export
from convnext_edge.rivals.registry import RIVALS
from convnext_edge.rivals.rows import RivalRow

FEW = 16  # images for ConvNeXt-T: its speed depends on no value
# They choose other values for the same operators, slowly: their speed is that of the one behind the colon.
SAME_SPEED = {
    "AIMET CLE": "AIMET",
    "AIMET SeqMSE": "AIMET",
    "AIMET AdaRd.": "AIMET",
    "Quark AdaRd.": "Quark S8S8",
    "static entropy": "static",
    "ModelOpt max": "ModelOpt f32",
}


def measure(part: str, names: Sequence[str], runs: int, minutes: int) -> list[RivalRow]:
    """Rows of one part; of all rivals where none is named."""
    with tempfile.TemporaryDirectory() as folder:
        if part == "demo":
            model = export(variant="demo", workspace=folder).artifact
            data, samples, wanted = "demo", None, list(names)
        else:
            model = export("tiny", random_weights=True, workspace=folder).artifact
            data, samples = unlabelled(Path(folder)), FEW
            wanted = [r.name for r in RIVALS if r.name not in SAME_SPEED and (not names or r.name in names)]
        found = compare(
            model,
            calib="demo",
            samples=samples,
            data=data,
            runs=runs,
            rivals=True,
            only_rivals=list(dict.fromkeys(wanted)),
            rival_environments=Path("build/rivals").absolute(),
            rival_minutes=minutes,
            workspace=folder,
        )
    return list(found.rivals)


def unlabelled(folder: Path) -> str:
    """A folder of a few images without labels: the demo's are of other classes than the model."""
    images = folder / "unlabelled"
    images.mkdir()
    with zipfile.ZipFile(ROOT / "calibration" / "demo" / "evaluation.zip") as archive:
        for number, name in enumerate(name for name in archive.namelist() if not name.endswith("/")):
            if number < FEW:
                (images / f"{number}{Path(name).suffix}").write_bytes(archive.read(name))
    return str(images)


def check(parts: dict[str, Any]) -> Iterator[Bar]:
    yield Bar("parts measured", len(parts), at_least=len(PARTS))  # closeness is the demo's, speed is both
    for name, part in parts.items():
        worked = sum(row["failed"] is None for row in part["rows"])
        yield Bar(f"{name}: contenders that worked", worked, at_least=len(part["rows"]) // 2)
    for name, beaten in both(parts, SAME_SPEED).items():
        yield Bar(f"rivals both faster and closer than ours, {name}", len(beaten), at_most=0)
    for runtime, lead in leads(parts).items():
        yield Bar(f"tiny: ours over the fastest rival in {runtime}", lead, at_least=1.15)


@click.command()
@click.option("--part", type=click.Choice([*PARTS, "both"]), default="both", show_default=True)
@click.option("--only", "names", multiple=True, help="A rival to take; all where none is named.")
@click.option("--runs", default=20, show_default=True, help="Timed calls of each.")
@click.option(
    "--minutes", default=10, show_default=True, help="Longest time that a step of a rival may take."
)
@report_options
def main(part: str, names: Sequence[str], runs: int, minutes: int, reporting: Reporting) -> None:
    """Compare ours with every rival, in turns."""
    parts: dict[str, Any] = {} if part == "both" else reporting.earlier("rivals").get("parts", {})
    for name in PARTS if part == "both" else (part,):
        rows = [vars(row) for row in measure(name, names, runs, minutes)]
        for row in rows:
            row["against"] = vars(row["against"]) if row["against"] else None
        parts[name] = {
            "model": PARTS[name],
            "runs": runs,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "load_average": os.getloadavg(),
            "rows": rows,
        }
    parts = {name: parts[name] for name in PARTS if name in parts}
    measured = {"parts": parts, "verdicts": verdicts(parts, SAME_SPEED)}
    reporting.finish("rivals", measured, check(parts))


if __name__ == "__main__":
    main()
