"""The function and the options of `benchmark`."""

from __future__ import annotations

from typing import Annotated

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark.result import Benchmark, Hint
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.options import Model, RunOn, WorkspaceFolder
from convnext_edge.cpu import read_cpu
from convnext_edge.errors import UsageError
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import find_target


@command(example="convnext-edge benchmark --threads 1 --min-speedup 2")
def benchmark(
    model: Model = None,
    *,
    target: RunOn = None,
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
    busy, `reliable` is False and no gate passes.
    Raises ArtifactError, TargetError, UsageError.
    """
    from convnext_edge.commands.benchmark.asked import check_target, read_options

    sizes = batch_sizes(batch)
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
    doubt = next((row.doubt for row in rows if row.doubt), "")
    cpu = read_cpu()
    figures = vars(rows[0]) | {"doubt": doubt, "reliable": not doubt}
    result = Benchmark(
        **figures,
        artifact=artifact.path,
        target=chosen,
        runtime_version=find_target(chosen).version(),
        threads=asked.threads,
        cpu=cpu.name,
        isa=cpu.isa,
        hint=asked.hint,
        sweep=rows if len(rows) > 1 else (),
        gates=() if min_speedup is None else ("speed",),
        passed=min_speedup is None or (not doubt and all(row.gated_speedup >= min_speedup for row in rows)),
    )
    keep("benchmark", result.to_json(), artifact, space)
    return result


def batch_sizes(batch: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the batch sizes, each once, in the order given; raise UsageError for none."""
    sizes = (batch,) if isinstance(batch, int) else tuple(dict.fromkeys(batch))
    if not sizes:
        raise UsageError("--batch has no number", hint="Give one or several, as 1,2,4,8.")
    return sizes
