"""The command `doctor`: what this machine can build and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import fold, lines, table
from convnext_edge.cpu import read_cpu, this_machine
from convnext_edge.progress import phase
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import NAMES, find_target
from convnext_edge.targets.tensorrt.cuda import NoGpu, find_gpus

if TYPE_CHECKING:  # loads PyTorch
    from convnext_edge.evaluation.conformance import ConformanceRun


@dataclass(frozen=True)
class CpuRow(Result):
    """The CPU of this machine."""

    name: str
    isa: tuple[str, ...]  # its instruction sets that decide how INT8 runs
    int8_saturates: bool  # without VNNI, INT8 kernels add pairs of products in 16 bits


@dataclass(frozen=True)
class TargetRow(Result):
    """What a target can do on this machine."""

    name: str
    can_build: bool
    can_run: bool
    version: str | None  # of the runtime; None where it is missing
    remedy: str  # what to do where it cannot; else empty
    # whether it multiplies INT8 here, in models that are quantized for it here; None where that is not known
    int8_kernels: bool | None = None


@dataclass(frozen=True)
class Doctor(Result):
    """What this machine can build and run."""

    cpu: CpuRow
    gpus: tuple[str, ...]
    targets: tuple[TargetRow, ...]
    conformance: tuple[ConformanceRun, ...] | None = None  # None where it was not asked for
    passed: bool | None = None  # whether all of these conform; None likewise

    def summary(self) -> str:
        """Return the machine as lines, and a table of the targets."""
        does = "can saturate (no VNNI)" if self.cpu.int8_saturates else "do not saturate"
        machine = lines(
            ("CPU", self.cpu.name),
            ("", " ".join(self.cpu.isa)),
            ("", f"INT8 kernels {does}"),
            ("GPUs", ", ".join(self.gpus) or "none"),
        )
        header = ("target", "builds", "runs", "INT8 kernels", "version")
        rows = [
            (t.name, *map(answer, (t.can_build, t.can_run, t.int8_kernels)), t.version or "")
            for t in self.targets
        ]
        remedies = (fold(f"{t.name}: {t.remedy}") for t in self.targets if t.remedy)
        conformance = ["", conformance_table(self.conformance)] if self.conformance else []
        return "\n".join([machine, "", table([header, *rows]), *remedies, *conformance])


def answer(found: bool | None) -> str:
    """Return yes or no, or that it is not known."""
    return "not known" if found is None else ("yes" if found else "no")


def conformance_table(runs: Sequence[ConformanceRun]) -> str:
    """Return a line for each case and runtime, with what its worst run found, and the verdict."""
    header = ("case", "runtime", "largest", "bound", "median", "bound", "top-1", "")
    pairs = groupby(runs, key=lambda run: (run.case, run.target))
    worst = [max(group, key=severity) for _, group in pairs]
    failed = sum(not run.passed for run in runs)
    return "\n".join(
        [
            table([header, *map(conformance_cells, worst)]),
            f"Differences from the golden logits; {values(runs, 'threads')} threads, "
            f"{values(runs, 'batch')} images a call.",
            *(fold(f"{run.case} on {run.target}: {run.error}") for run in worst if run.error),
            f"{failed} of {len(runs)} runs do NOT conform" if failed else f"all {len(runs)} runs conform",
        ]
    )


def values(runs: Sequence[ConformanceRun], name: str) -> str:
    """Return the distinct values of a field, as "1 and 2"."""
    return " and ".join(map(str, sorted({getattr(run, name) for run in runs})))


def severity(run: ConformanceRun) -> tuple[bool, bool, float]:
    """Return what is larger for a worse run."""
    return not run.passed, bool(run.error), run.largest_difference or 0.0


def conformance_cells(run: ConformanceRun) -> tuple[str, ...]:
    """Return one line of the table."""
    found, median = run.largest_difference, run.median_difference
    return (
        run.case,
        run.target,
        "" if found is None else f"{found:.1e}",
        f"{run.bound:.0e}",
        "" if median is None else f"{median:.1e}",
        f"{run.median_bound:.0e}",
        f"{run.top1_equal} of {run.top1_decided}",
        "ok" if run.passed else "NOT",
    )


@command(example="convnext-edge doctor --conformance")
def doctor(
    *,
    conformance: Annotated[
        bool, Option("Run golden engines here, and hold their answers against the kept ones.")
    ] = False,
) -> Doctor:
    """Tell what this machine can build and run.

    conformance: on OpenVINO and ONNX Runtime, with one and two threads and with one and eight images a call.
    """
    runs = run_conformance() if conformance else None
    cpu, gpus = read_cpu(), find_gpus()
    return Doctor(
        cpu=CpuRow(name=cpu.name, isa=cpu.isa, int8_saturates=cpu.int8_saturates),
        gpus=() if isinstance(gpus, NoGpu) else tuple(gpu.name for gpu in gpus),
        targets=tuple(_row(name) for name in NAMES),
        conformance=runs,
        passed=None if runs is None else all(run.passed for run in runs),
    )


def run_conformance() -> tuple[ConformanceRun, ...]:
    """Run each golden case on each runtime."""
    with importing():
        from convnext_edge.evaluation.conformance import golden_cases, run_cases

    return tuple(run_cases(golden_cases()))


def _row(name: str) -> TargetRow:
    with phase(f"looking for {name}"):
        target = find_target(name)
        found = target.availability()
    machine = this_machine()
    return TargetRow(
        name=name,
        can_build=found.can_build,
        can_run=found.can_run,
        version=found.version,
        remedy=found.remedy,
        int8_kernels=target.int8_kernels(target.int8_form(machine), machine),
    )
