"""What `read_cpu` makes of each kind of machine, from samples in the form of real ones, shortened."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from convnext_edge.cpu import ISA, Cpu, parse_cpuinfo, parse_sysctl, read_cpu, usable_cpus

ZEN_3 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 7763 64-Core Processor
flags\t\t: fpu sse sse2 ssse3 fma cx16 sse4_1 sse4_2 avx f16c avx2 bmi2 vaes vpclmulqdq

processor\t: 1
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 7763 64-Core Processor
flags\t\t: fpu sse sse2 ssse3 fma cx16 sse4_1 sse4_2 avx f16c avx2 bmi2 vaes vpclmulqdq
"""

ALDER_LAKE = """\
processor\t: 0
model name\t: 12th Gen Intel(R) Core(TM) i7-12700
flags\t\t: fpu sse4_1 sse4_2 fma avx f16c avx2 avx_vnni vaes
vmx flags\t: vnmi preemption_timer
"""

SAPPHIRE_RAPIDS = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fma sse4_1 avx avx2 avx512f avx512dq avx_vnni avx512_bf16 avx512_vnni amx_bf16 amx_tile amx_int8
"""

SKYLAKE_SERVER = """\
model name\t: Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz
flags\t\t: fma sse4_1 avx avx2 avx512f avx512dq avx512cd avx512bw avx512vl
"""

RASPBERRY_PI_4 = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd08

Hardware\t: BCM2835
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""

ROCKCHIP_RK3588 = """\
processor\t: 0
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd05

processor\t: 4
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""

GRAVITON_3 = """\
processor\t: 0
Features\t: fp asimd asimddp sve i8mm bf16 dgh rng
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""

ARM_32_BIT = """\
processor\t: 0
model name\t: ARMv7 Processor rev 4 (v7l)
Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32
CPU implementer\t: 0x41
CPU part\t: 0xd03

Hardware\t: BCM2835
"""

SNAPDRAGON = """\
processor\t: 0
Features\t: fp asimd asimddp
CPU implementer\t: 0x51
CPU part\t: 0x804

Hardware\t: Qualcomm Technologies, Inc SM8150
"""

APPLE_M2 = """\
machdep.cpu.cores_per_package: 8
machdep.cpu.brand_string: Apple M2
hw.optional.AdvSIMD: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_SME: 0
"""

APPLE_M1 = """\
machdep.cpu.brand_string: Apple M1
hw.optional.AdvSIMD: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_I8MM: 0
"""

MAC_INTEL = """\
machdep.cpu.brand_string: Intel(R) Core(TM) i7-8750H CPU @ 2.20GHz
machdep.cpu.features: FPU SSE SSE2 SSE3 SSSE3 FMA CX16 SSE4.1 SSE4.2 AVX1.0 RDRAND F16C
machdep.cpu.leaf7_features: RDWRFSGS BMI1 AVX2 SMEP BMI2
hw.optional.avx2_0: 1
"""

AVX2 = ("sse4_1", "avx", "avx2", "fma")


@pytest.mark.parametrize(
    ("text", "name", "isa", "int8_saturates"),
    [
        (ZEN_3, "AMD EPYC 7763 64-Core Processor", AVX2, True),
        (SKYLAKE_SERVER, "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", (*AVX2, "avx512f"), True),
        (ALDER_LAKE, "12th Gen Intel(R) Core(TM) i7-12700", (*AVX2, "avx_vnni"), False),
        (
            SAPPHIRE_RAPIDS,
            "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
            (*AVX2, "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),
            False,
        ),
        (RASPBERRY_PI_4, "Cortex-A72", ("asimd",), False),
        (ROCKCHIP_RK3588, "Cortex-A55 + Cortex-A76", ("asimd", "asimddp"), False),
        (GRAVITON_3, "Neoverse-V1", ("asimd", "asimddp", "i8mm", "sve"), False),
        (ARM_32_BIT, "ARMv7 Processor rev 4 (v7l)", ("neon",), False),
        (SNAPDRAGON, "Qualcomm Technologies, Inc SM8150", ("asimd", "asimddp"), False),
        ("", "unknown", (), False),
    ],
)
def test_cpuinfo_of_linux(text: str, name: str, isa: tuple[str, ...], int8_saturates: bool) -> None:
    assert parse_cpuinfo(text) == Cpu(name, isa, int8_saturates)


@pytest.mark.parametrize(
    ("text", "name", "isa", "int8_saturates"),
    [
        (APPLE_M2, "Apple M2", ("asimd", "asimddp", "i8mm"), False),
        (APPLE_M1, "Apple M1", ("asimd", "asimddp"), False),
        (MAC_INTEL, "Intel(R) Core(TM) i7-8750H CPU @ 2.20GHz", AVX2, True),
    ],
)
def test_sysctl_of_macos(text: str, name: str, isa: tuple[str, ...], int8_saturates: bool) -> None:
    assert parse_sysctl(text) == Cpu(name, isa, int8_saturates)


def test_an_arm_core_that_is_not_in_the_table_keeps_its_number() -> None:
    assert parse_cpuinfo("CPU implementer\t: 0x41\nCPU part\t: 0xfff\n").name == "ARM part 0xfff"


@pytest.mark.parametrize(("machine", "int8_saturates"), [("AMD64", True), ("ARM64", False)])
def test_where_the_system_does_not_tell_x86_counts_as_saturating(
    monkeypatch: pytest.MonkeyPatch, machine: str, int8_saturates: bool
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "processor", lambda: "Some Processor")
    assert read_cpu() == Cpu("Some Processor", (), int8_saturates)


def test_this_machine() -> None:
    cpu = read_cpu()
    assert cpu.name
    assert set(cpu.isa) <= set(ISA)


# How many CPUs may be used


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system sets no affinity")
def test_cpus_that_taskset_takes_away_are_not_counted() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cpus() <= len(before)


@pytest.mark.parametrize(
    ("limit", "cpus"),
    [
        ("max 100000", None),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("190000 100000", 1),
        ("rubbish", None),
    ],
)
def test_a_container_uses_no_more_than_its_quota_in_version_2(
    tmp_path: Path, limit: str, cpus: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert usable_cpus(tmp_path) == (cpus or usable_cpus(tmp_path / "none"))


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("-1", "100000", None), ("100000", "100000", 1), ("50000", "100000", 1), ("1", "0", None)],
)
def test_a_container_uses_no_more_than_its_quota_in_version_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, period: str, cpus: int | None
) -> None:
    groups = "4:memory:/box\n3:cpu,cpuacct:/box/inner\n0::/\n"
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *a: groups if str(path) == "/proc/self/cgroup" else read(path, *a)
    )
    group = tmp_path / "cpu,cpuacct" / "box"  # of the parent
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (group / "cpu.cfs_period_us").write_text(f"{period}\n")
    assert usable_cpus(tmp_path) == (cpus or usable_cpus(tmp_path / "none"))
