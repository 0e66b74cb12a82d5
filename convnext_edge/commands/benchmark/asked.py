"""Which options of `benchmark` mean something together, and to the target."""

from __future__ import annotations

from dataclasses import dataclass

from convnext_edge.commands.benchmark.result import Hint
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.timing import check_streams, check_threads
from convnext_edge.targets.base import Target
from convnext_edge.targets.registry import NAMES, find_target

RUNS = 50  # calls
SECONDS = 10.0  # of throughput


@dataclass(frozen=True)
class Asked:
    """What is to be timed, with one batch size or several."""

    threads: int
    runs: int  # calls one at a time
    seconds: float | None  # that these take in place of `runs`
    in_flight_seconds: float | None  # of throughput; None where it is not measured
    streams: int | None  # requests in flight; None leaves it to the runtime
    layers: bool

    @property
    def hint(self) -> Hint:
        """What the figures are for."""
        return "latency" if self.in_flight_seconds is None else "throughput"


def read_options(
    *,
    threads: int | None,
    runs: int | None,
    duration: float | None,
    hint: Hint | None,
    streams: int | None,
    layers: bool,
) -> Asked:
    """Return what is to be timed; raise UsageError for options that contradict each other."""
    count = check_threads(threads)
    check_streams(streams, count)
    if hint == "latency" and streams is not None:
        raise UsageError(
            f"--hint latency has one request in flight, and --streams {streams} asks for throughput",
            hint="Leave one of them out.",
        )
    flies = hint == "throughput" or streams is not None
    if runs is not None and duration is not None and not flies:
        raise UsageError(
            f"--runs {runs} and --duration {duration:g} both say how long to time",
            hint="Leave one of them out.",
        )
    return Asked(
        threads=count,
        runs=runs or RUNS,
        seconds=None if flies else duration,
        in_flight_seconds=(duration or SECONDS) if flies else None,
        streams=streams,
        layers=layers,
    )


def check_alone(
    sizes: tuple[int, ...],
    duration: float | None,
    hint: Hint | None,
    streams: int | None,
    min_speedup: float | None,
    *,
    layers: bool,
) -> None:
    """Raise UsageError for what a device cannot do: it has the engine alone, for one image a call."""
    if min_speedup is not None:
        raise UsageError(
            "--min-speedup means nothing with --on: PyTorch, which it compares with, is not on the device",
            hint="Compare with the FP32 engine there: convnext-edge compare --methods fp32,ptq --on URL.",
        )
    given = {
        f"--batch {','.join(map(str, sizes))}": sizes != (1,),
        "--duration": duration is not None,
        "--hint throughput": hint == "throughput",
        "--streams": streams is not None,
        "--layers": layers,
    }
    for option, asked in given.items():
        if asked:
            raise UsageError(
                f"{option} means nothing with --on: the program there shows the engine one image a call",
                hint="Leave it out; --runs says how many. Layers are timed by sensitivity --on.",
            )


def check_target(asked: Asked, target: Target, hint: Hint | None) -> None:
    """Raise UsageError for what the target cannot do. hint: as it was given."""
    if asked.hint == "throughput" and not target.takes_streams:
        able = [name for name in NAMES if find_target(name).takes_streams]
        option = "--hint throughput" if hint == "throughput" else "--streams"
        raise UsageError(
            f"{option} means nothing to target {target.name}, which runs one request at a time",
            hint=f"Leave it out; {', '.join(able)} take it.",
        )
    if asked.layers and not target.times_layers:
        telling = [name for name in NAMES if find_target(name).times_layers]
        raise UsageError(
            f"--layers: target {target.name} does not tell the time of single layers",
            hint=f"Leave it out; {', '.join(telling)} tell it.",
        )
