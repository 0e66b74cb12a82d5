"""What each design decision of ConvNeXt costs on the edge: the paper's road from ResNet-50, step by step.

    python -m benchmarks.measure.roadmap

The networks are those of benchmarks/networks/roadmap.py, with random weights, each in FP32 and in INT8 in
OpenVINO and ONNX Runtime, 224, batch 1, one thread. INT8 is by the defaults of NNCF in OpenVINO, and of
`quantize_static` in ONNX Runtime; of the last network, which is ConvNeXt-T, also ours. All models of a
runtime have a process each and take turns, so that ratios between steps hold: benchmarks/support/turns.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import click
import numpy as np

from benchmarks.support.long_runs import LongRun, Plan, Row, figures, long_options
from benchmarks.support.making import (
    BY_DEFAULTS,
    FP32,
    INT8,
    RUNTIMES,
    Files,
    count_step,
    file_bytes,
    in_child,
    kept,
    make_ours,
    make_step,
)
from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import Contender, ratio, take_turns

OURS = "ConvNeXt-T by convnext-edge"
NEAR = 1.0  # percent that multiply-adds may be off the paper's figure


def tables(run: LongRun, names: list[str]) -> dict[str, Row]:
    """Make all networks, then time those of each runtime in turns."""
    from benchmarks.networks.roadmap import STEPS

    makers: dict[str, Any] = {name: partial(make_step, name, 224) for name in names}
    last = list(STEPS)[-1]
    if last in names:
        makers[OURS] = partial(make_ours, "tiny", 224)

    def measure(runtime: str) -> Row:
        return table(runtime, kept(run.scratch, makers), names, run.plan)

    return run.measure({runtime: partial(measure, runtime) for runtime in RUNTIMES})


def table(runtime: str, made: dict[str, Files], names: list[str], plan: Plan) -> Row:
    """Time all networks in one runtime; each is held against the one that it was made from, and the first."""
    from benchmarks.networks.roadmap import STEPS, before

    files = {f"{name} {kind}": made[name][f"{runtime} {kind}"] for name in made for kind in (FP32, INT8)}
    contenders = {name: Contender(runtime, path) for name, path in files.items()}
    times = take_turns(contenders, 1, plan.runs, seconds=plan.seconds)
    rows: Row = {}
    for name in made:
        start = before(STEPS[name]).name if name in STEPS else names[-1]
        rows[name] = {
            "timed": {kind: figures(times[f"{name} {kind}"]) for kind in (FP32, INT8)},
            "bytes": {kind: file_bytes(files[f"{name} {kind}"]) for kind in (FP32, INT8)},
            "int8_gain": ratio(times, f"{name} {FP32}", f"{name} {INT8}"),
            "over_before": {kind: costs(times, start, name, kind) for kind in (FP32, INT8)},
            "over_first": {kind: costs(times, names[0], name, kind) for kind in (FP32, INT8)},
        }
    return {"steps": rows}


def costs(times: dict[str, np.ndarray], start: str, name: str, kind: str) -> Row | None:
    """How many times as long a network takes as another; None where that was not timed, or is the same."""
    if start == name or f"{start} {kind}" not in times:
        return None
    return ratio(times, f"{name} {kind}", f"{start} {kind}")


def described(names: list[str]) -> tuple[dict[str, Row], list[Bar]]:
    """Return what is known of each network without running it, and bars on its multiply-adds."""
    from benchmarks.networks.roadmap import EXPLAINED, STEPS

    steps, bars = {}, []
    for name in names:
        step, counts = STEPS[name], in_child(count_step, name)
        off = 100 * abs(counts["macs"] / 1e9 / step.gflops - 1)
        told = {"paper_gflops": step.gflops, "paper_top1": step.top1, "kept": step.kept}
        steps[name] = {**counts, **told, "off_percent": round(off, 2), "explained": EXPLAINED.get(name)}
        if name not in EXPLAINED:
            bars.append(Bar(f"{name}: multiply-adds off the paper's, percent", round(off, 2), at_most=NEAR))
    return steps, bars


@click.command()
@click.option("--step", "names", multiple=True, help="A network to take; all where none is named.")
@long_options(runs=15, seconds=70.0, minutes=20.0)
@report_options
def main(names: tuple[str, ...], plan: Plan, reporting: Reporting) -> None:
    """Time the networks between ResNet-50 and ConvNeXt-T."""
    from benchmarks.networks.roadmap import STEPS

    unknown = sorted(set(names) - set(STEPS))
    if unknown:
        raise click.UsageError(f"--step {unknown[0]!r}: there are {', '.join(STEPS)}")
    chosen = [name for name in STEPS if not names or name in names]
    steps, bars = described(chosen)
    run = LongRun("roadmap", plan, reporting, {"steps": chosen})
    rows = tables(run, chosen)
    measured = {
        "model": "random weights, 224, batch 1, one thread",
        "int8_by": {"steps": BY_DEFAULTS, OURS: "convnext-edge"},
        "steps": steps,
        "rows": rows,
    }
    run.finish(measured, bars, of=len(plan.only or RUNTIMES))


if __name__ == "__main__":
    main()
