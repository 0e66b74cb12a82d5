"""What a step of `finetune` costs on this CPU, by arithmetic and torch.compile, on the demo model.

    python -m benchmarks.measure.training_speed

Two runs of each kind, one thread, each in a fresh process with an empty cache of torch.compile. They
differ in the number of steps alone, so the difference of their CPU seconds is that of the steps. What the
short one takes longer than with nothing compiled is what compiling costs. CPU time, of compilers that were
started too, suffers little from what else the machine does.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import click

from benchmarks.support.reports import Bar, Reporting, report_options

PRECISIONS = ("fp32", "bf16")
SHORT = 3


def run(precision: str, compiled: bool, steps: int) -> float:
    """CPU seconds of one run, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        given = json.dumps([folder, precision, compiled, steps])
        hidden = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        command = [sys.executable, "-m", "benchmarks.measure.training_speed", "--worker", given]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, text=True, env={**os.environ, **hidden}
        )
    return float(done.stdout.splitlines()[-1])


def work(folder: Path, precision: Any, compiled: bool, steps: int) -> float:
    """In this process, which should have done nothing else."""
    from convnext_edge import export, finetune

    model = export("demo", workspace=folder).artifact
    finetune(
        model,
        train="demo",
        samples=16,
        steps=steps,
        precision=precision,
        compile=compiled,
        workspace=folder,
    )
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(steps: int) -> list[dict[str, Any]]:
    """Rows; the first is what the others are held against."""
    rows: list[dict[str, Any]] = []
    for compiled, precision in product((False, True), PRECISIONS):
        short, long = run(precision, compiled, SHORT), run(precision, compiled, SHORT + steps)
        row = {"precision": precision, "compiled": compiled, "cpu_seconds": [short, long]}
        row |= {"step_cpu_ms": round(1000 * (long - short) / steps, 1), "compile_cpu_seconds": 0.0}
        if compiled:
            row["compile_cpu_seconds"] = round(short - rows[len(rows) % 2]["cpu_seconds"][0], 1)
        rows.append({**row, "pays_after_steps": pays_after(row, (rows or [row])[0])})
        print(rows[-1], file=sys.stderr)
    return rows


def pays_after(row: dict[str, Any], first: dict[str, Any]) -> int | None:
    """Steps until it has won back what compiling it costs; None where it never does."""
    saved = (first["step_cpu_ms"] - row["step_cpu_ms"]) / 1000
    return round(row["compile_cpu_seconds"] / saved) if saved > 0 else None


@click.command()
@click.option("--steps", default=30, show_default=True, help="Of 64 images, timed.")
@click.option("--worker", hidden=True, help="Run one here, and print its CPU seconds.")
@report_options
def main(steps: int, worker: str | None, reporting: Reporting) -> None:
    """CPU time of training steps."""
    if worker:
        folder, *options = json.loads(worker)
        print(work(Path(folder), *options))
        return
    rows = measure(steps)
    bars: list[Bar] = []  # nothing is promised: this is what the defaults of finetune were chosen by
    reporting.finish("training_speed", {"model": "demo", "threads": 1, "steps": steps, "rows": rows}, bars)


if __name__ == "__main__":
    main()
