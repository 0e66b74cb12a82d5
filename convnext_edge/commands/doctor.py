"""The command `doctor`: what this machine can build and run."""

from __future__ import annotations

from dataclasses import dataclass

from convnext_edge.commands.declaration import command
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import fold, lines, table
from convnext_edge.cpu import read_cpu
from convnext_edge.targets.registry import NAMES, find_target
from convnext_edge.targets.tensorrt.cuda import NoGpu, find_gpus


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


@dataclass(frozen=True)
class Doctor(Result):
    """What this machine can build and run."""

    cpu: CpuRow
    gpus: tuple[str, ...]
    targets: tuple[TargetRow, ...]

    def summary(self) -> str:
        """Return the machine as lines, and a table of the targets."""
        does = "can saturate (no VNNI)" if self.cpu.int8_saturates else "do not saturate"
        machine = lines(
            ("CPU", self.cpu.name),
            ("", " ".join(self.cpu.isa)),
            ("", f"INT8 kernels {does}"),
            ("GPUs", ", ".join(self.gpus) or "none"),
        )
        header = ("target", "builds", "runs", "version")
        rows = [
            (t.name, "yes" if t.can_build else "no", "yes" if t.can_run else "no", t.version or "")
            for t in self.targets
        ]
        remedies = (fold(f"{t.name}: {t.remedy}") for t in self.targets if t.remedy)
        return "\n".join([machine, "", table([header, *rows]), *remedies])


@command(example="convnext-edge doctor")
def doctor() -> Doctor:
    """Tell what this machine can build and run."""
    cpu, gpus = read_cpu(), find_gpus()
    return Doctor(
        cpu=CpuRow(name=cpu.name, isa=cpu.isa, int8_saturates=cpu.int8_saturates),
        gpus=() if isinstance(gpus, NoGpu) else tuple(gpu.name for gpu in gpus),
        targets=tuple(_row(name) for name in NAMES),
    )


def _row(name: str) -> TargetRow:
    found = find_target(name).availability()
    return TargetRow(
        name=name,
        can_build=found.can_build,
        can_run=found.can_run,
        version=found.version,
        remedy=found.remedy,
    )
