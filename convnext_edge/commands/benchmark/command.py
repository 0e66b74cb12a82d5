"""The function and the options of `benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark.result import Benchmark, Hint, Measurement
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.options import DeviceRunner, Model, OnDevice, RunOn, WorkspaceFolder
from convnext_edge.cpu import read_cpu
from convnext_edge.devices.address import Where
from convnext_edge.errors import UsageError
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import find_target

if TYPE_CHECKING:
    from convnext_edge.commands.benchmark.asked import Asked


@command(example="convnext-edge benchmark --threads 1 --min-speedup 2")
def benchmark(
    model: Model = None,
    *,
    target: RunOn = None,
    on: OnDevice = None,
    runner: DeviceRunner = None,
    batch: Annotated[
        int | tuple[int, ...],
        Option(
            "Number of images in a call; of several, as 1,2,4,8, each is timed.", at_least=1, metavar="N,..."
        ),
    ] = (1,),
    threads: Annotated[
        int | None, Option("Threads of reference and candidate.  [default: all CPUs]", at_least=1)
    ] = None,
    runs: Annotated[
        int | None, Option("Number of timed calls of each model, one at a time.  [default: 50]", at_least=1)
    ] = None,
    duration: Annotated[
        float | None,
        Option(
            "Time for each model: in place of --runs, or of requests in flight.  [default: 10 for these]",
            metavar="SECONDS",
            at_least=0,
            at_most=86_400,
            above=True,
        ),
    ] = None,
    hint: Annotated[
        Hint | None, Option("What to measure; throughput has requests in flight.  [default: latency]")
    ] = None,
    streams: Annotated[
        int | None,
        Option("Requests in flight, for throughput.  [default: as the runtime chooses]", at_least=1),
    ] = None,
    layers: Annotated[bool, Option("Tell the time of each layer of the candidate.")] = False,
    min_speedup: Annotated[
        float | None,
        Option(
            "Gate: least ratio of the median latencies, or throughputs.", metavar="X", at_least=0, above=True
        ),
    ] = None,
    workspace: WorkspaceFolder = None,
) -> Benchmark:
    """Time MODEL (default: the newest) against FP32 PyTorch, interleaved.

    model: an ONNX file or engine of ours. With `streams`, or hint "throughput", the throughput of requests in
    flight is measured after the latency of single calls, the reference alike. min_speedup is a gate on all
    batch sizes, see `passed`. The result is kept in the workspace for `report`. On a machine that is too
    busy, `reliable` is False and no gate passes. With `on`, an engine is timed on the device, by itself, as
    there is no PyTorch.
    Raises ArtifactError, DeviceError, TargetError, UsageError.
    """
    from convnext_edge.commands.benchmark.asked import check_alone, check_target, read_options

    where, sizes = Where.parse(on, runner), batch_sizes(batch)
    if where is not None:
        check_alone(sizes, duration, hint, streams, min_speedup, layers=layers)
        from convnext_edge.commands.benchmark.there import benchmark_there

        return benchmark_there(model, target, where, Workspace.at(workspace), threads=threads, runs=runs)
    asked = read_options(
        threads=threads, runs=runs, duration=duration, hint=hint, streams=streams, layers=layers
    )
    with importing():
        from convnext_edge.commands.benchmark.run import Run
        from convnext_edge.evaluation.candidates import find_candidate, target_of
        from convnext_edge.evaluation.records import keep

    space = Workspace.at(workspace)
    artifact = find_candidate(model, target, space)
    chosen = target_of(artifact, target)
    check_target(asked, find_target(chosen), hint)
    run = Run(artifact, chosen, space, asked)
    rows = tuple(run.measure(size) for size in sizes)
    result = summed_up(rows, asked, artifact.path, chosen, min_speedup)
    keep("benchmark", result.to_json(), artifact, space)
    return result


def summed_up(
    rows: tuple[Measurement, ...], asked: Asked, artifact: Path, target: str, min_speedup: float | None
) -> Benchmark:
    """Return the result of the command, from what was measured with each batch size."""
    doubt = next((row.doubt for row in rows if row.doubt), "")
    figures = vars(rows[0]) | {"doubt": doubt, "reliable": not doubt}
    fast = min_speedup is None or all((row.gated_speedup or 0) >= min_speedup for row in rows)
    cpu = read_cpu()
    return Benchmark(
        **figures,
        artifact=artifact,
        target=target,
        runtime_version=find_target(target).version(),
        threads=asked.threads,
        cpu=cpu.name,
        isa=cpu.isa,
        hint=asked.hint,
        sweep=rows if len(rows) > 1 else (),
        gates=() if min_speedup is None else ("speed",),
        passed=fast and not (min_speedup and doubt),
    )


def batch_sizes(batch: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the batch sizes, each once, in the order given; raise UsageError for none."""
    sizes = (batch,) if isinstance(batch, int) else tuple(dict.fromkeys(batch))
    if not sizes:
        raise UsageError("--batch has no number", hint="Give one or several, as 1,2,4,8.")
    return sizes
