"""The CPU of this machine, and which of the instructions that INT8 depends on it has."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Names of instruction sets, as Linux writes them in /proc/cpuinfo.
VNNI = ("avx512_vnni", "avx_vnni")
ISA = (
    *("sse4_1", "avx", "avx2", "fma", "avx512f", *VNNI, "avx512_bf16", "amx_int8"),
    *("neon", "asimd", "asimddp", "i8mm", "sve"),
)

# The kinds of machines that kernels are written for, by the names that Linux and Python have for them.
Machine = Literal["x86-64", "aarch64"]
MACHINES: dict[str, Machine] = {
    "x86_64": "x86-64",
    "amd64": "x86-64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
}

# "CPU part" where "CPU implementer" is 0x41; from arch/arm64/include/asm/cputype.h of Linux.
ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0d": "Cortex-A77",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd49": "Neoverse-N2",
    "0xd4b": "Cortex-A78C",
    "0xd4d": "Cortex-A715",
    "0xd4e": "Cortex-X3",
    "0xd4f": "Neoverse-V2",
    "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
    "0xd82": "Cortex-X4",
}

# Their names in `sysctl` of macOS: words of machdep.cpu on Intel, keys of hw.optional on Apple's own CPUs.
MACOS_INTEL = {
    "SSE4.1": "sse4_1",
    "AVX1.0": "avx",
    "AVX2": "avx2",
    "FMA": "fma",
    "AVX512F": "avx512f",
    "AVX512VNNI": "avx512_vnni",
}
MACOS_ARM = {
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
}


@dataclass(frozen=True)
class Cpu:
    """A CPU, with its instruction sets and what they mean for INT8."""

    name: str
    isa: tuple[str, ...]  # the names of `ISA` that this CPU has; empty where the system does not report them
    # INT8 kernels add pairs of products in 16 bits, which large weights overflow. That is the case on x86
    # without VNNI, where the only instruction for u8 x s8 is vpmaddubsw.
    int8_saturates: bool

    @property
    def multiplies_bfloat16(self) -> bool:
        """Whether bfloat16 is faster than float32: it has an instruction, which PyTorch uses on x86."""
        return "avx512_bf16" in self.isa


CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(cgroups: Path = CGROUPS) -> int:
    """Return the number of CPUs that this process may use, at least 1.

    They are the CPUs of its affinity, which `taskset` sets, but not more than the quota of its control group.
    cgroups: folder where Linux mounts control groups, which limit containers to a share of the machine.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # macOS and Windows have none
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.floor(min(allowed, _cpu_quota(cgroups))))


def _cpu_quota(cgroups: Path) -> float:
    """Return how many CPUs' time the control groups of this process allow it; infinite without a limit.

    A line of /proc/self/cgroup says "NUMBER:CONTROLLERS:/GROUP": version 2 names no controllers, version 1
    has a folder for them. A group's limit holds for all below it.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return math.inf
    quotas = [math.inf]
    for _, controllers, group in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in {cgroups / controllers, cgroups / ("cpu" if controllers else "unified")}:
            place = root / group.lstrip("/")
            folders = [folder for folder in (place, *place.parents) if folder.is_relative_to(root)]
            quotas += [read(folder) for folder in folders for read in (_read_quota, _read_quota_of_version_1)]
    return min(quotas)


def _read_quota(group: Path) -> float:
    """Return quota over period of version 2; infinite where there is no limit.

    Its file says "QUOTA PERIOD" in microseconds, or "max PERIOD".
    """
    try:
        quota, period = (group / "cpu.max").read_text("utf-8").split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _read_quota_of_version_1(group: Path) -> float:
    """Return quota over period of version 1, each in a file; a quota of -1 is no limit."""
    try:
        quota, period = (
            int((group / f"cpu.cfs_{name}_us").read_text("utf-8")) for name in ("quota", "period")
        )
        return quota / period if quota > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def this_machine() -> Machine | None:
    """Return which kind of machine this is; None for one that no kernels of ours are known for."""
    return MACHINES.get(platform.machine().lower())


def read_cpu() -> Cpu:
    """Read what the system reports about the CPU of this machine."""
    try:
        if platform.system() == "Linux":
            return parse_cpuinfo(Path("/proc/cpuinfo").read_text("utf-8", "replace"))
        if platform.system() == "Darwin":
            return parse_sysctl(_sysctl("machdep.cpu", "hw.optional"))
    except (OSError, subprocess.SubprocessError):
        pass  # a sandbox may hide both
    x86 = platform.machine().lower() in ("amd64", "i386", "i686", "x86", "x86_64")
    return _cpu(platform.processor() or platform.machine(), (), x86=x86)


def parse_cpuinfo(text: str) -> Cpu:
    """Parse /proc/cpuinfo of Linux, of x86 ("flags") or of ARM ("Features")."""
    values = _distinct_values(text)
    flags = values.get("flags") or values.get("Features") or [""]
    return _cpu(_linux_name(values), flags[0].split(), x86="flags" in values)


def parse_sysctl(text: str) -> Cpu:
    """Parse what `sysctl machdep.cpu hw.optional` prints on macOS."""
    values = _distinct_values(text)
    intel = " ".join(values.get("machdep.cpu.features", []) + values.get("machdep.cpu.leaf7_features", []))
    isa = [MACOS_INTEL[word] for word in intel.split() if word in MACOS_INTEL]
    isa += [name for key, name in MACOS_ARM.items() if values.get(key) == ["1"]]
    (brand,) = values.get("machdep.cpu.brand_string", ["unknown"])
    return _cpu(brand, isa, x86=bool(intel))


def _cpu(name: str, flags: Iterable[str], *, x86: bool) -> Cpu:
    isa = tuple(name for name in ISA if name in flags)
    return Cpu(name, isa, int8_saturates=x86 and not any(name in isa for name in VNNI))


def _linux_name(values: dict[str, list[str]]) -> str:
    """Return the model name; on ARM, which mostly has none, the types of cores: "Cortex-A55 + Cortex-A76"."""
    if values.get("model name"):
        return " + ".join(values["model name"])
    parts = values.get("CPU part", [])
    if values.get("CPU implementer") == ["0x41"]:
        return " + ".join(ARM_PARTS.get(part, f"ARM part {part}") for part in parts)
    return " + ".join(values.get("Hardware") or parts) or "unknown"


def _distinct_values(text: str) -> dict[str, list[str]]:
    """Return the values of each key in lines of "KEY: VALUE", each value once, in order of appearance."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = (word.strip() for word in line.partition(":"))
        if value and value not in values.setdefault(key, []):
            values[key].append(value)
    return values


def _sysctl(*names: str) -> str:
    command = ["/usr/sbin/sysctl", *names]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=10).stdout
