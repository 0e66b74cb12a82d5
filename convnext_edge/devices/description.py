"""What results say of the device that they are from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from convnext_edge.cpu import Cpu


@dataclass(frozen=True)
class DeviceDescription:
    """A device, as results and the report show it."""

    url: str
    name: str  # its own, as `uname -n` has it
    machine: str  # that the program ran on: the emulated one, where there is an emulator
    cpu: str
    isa: tuple[str, ...]  # its instruction sets that decide how INT8 runs
    int8_saturates: bool
    kernel: str
    libc: str  # as "glibc 2.36"; empty where it is another
    governor: str  # of the clock; empty where the system does not tell
    clock_mhz: float | None  # as the last answer came
    max_clock_mhz: float | None
    temperature_c: float | None  # of the hottest zone
    runner: str | None = None  # what ran the program
    emulated: bool = False  # then times are no times

    @property
    def identity(self) -> tuple[str, str | None]:
        """What results must share to stand in one row."""
        return self.url, self.runner

    def __str__(self) -> str:
        """One line for people."""
        told = [self.cpu if not self.emulated else f"{self.machine}, simulated by {self.runner}", self.kernel]
        if self.governor:
            told.append(f"governor {self.governor}")
        if self.clock_mhz:
            told.append(f"{self.clock_mhz:.0f} MHz")
        if self.temperature_c is not None:
            told.append(f"{self.temperature_c:.0f} °C")
        return f"{self.url} ({', '.join(told)})"


def is_emulator(runner: list[str], machine: str, device: str) -> bool:
    """Return whether a program that says it runs on `machine` does not run on the CPU of the device."""
    return bool(runner) and (PurePath(runner[0]).name.startswith("qemu-") or machine != device)


def name_of(cpu: Cpu, machine: str) -> str:
    """Return the name of a CPU; the machine's where it has none."""
    return cpu.name or machine
