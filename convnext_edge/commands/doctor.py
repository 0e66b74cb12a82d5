"""doctor: what this machine can build and run."""

from __future__ import annotations

from convnext_edge.cpu import read_cpu
from convnext_edge.results import CpuRow, Doctor, TargetRow
from convnext_edge.targets.registry import NAMES, find_target
from convnext_edge.targets.tensorrt.cuda import NoGpu, find_gpus


def doctor() -> Doctor:
    """The CPU and its instruction sets, GPUs, and for each target whether it builds and runs here."""
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
