"""doctor: what this machine can build and run."""

from __future__ import annotations

import shutil
import subprocess

from convnext_edge.cpu import read_cpu
from convnext_edge.results import CpuRow, Doctor, TargetRow
from convnext_edge.targets.registry import NAMES, find_target


def doctor() -> Doctor:
    """The CPU and its instruction sets, GPUs, and for each target whether it builds and runs here."""
    cpu = read_cpu()
    return Doctor(
        cpu=CpuRow(name=cpu.name, isa=cpu.isa, int8_saturates=cpu.int8_saturates),
        gpus=gpus(),
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


def gpus() -> tuple[str, ...]:
    """Names of NVIDIA's GPUs, as their driver's own tool tells them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        asked = [tool, "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # a driver without a GPU
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
