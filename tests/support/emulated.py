"""64-bit ARM on this machine: the runtimes' libraries for it, builds by the README, and QEMU to run them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from support.embedded import HARNESS, Build, run
from support.needs import missing

TOOLS = ("cmake", "aarch64-linux-gnu-g++", "qemu-aarch64")
SYSROOT = Path("/usr/aarch64-linux-gnu")  # of Debian's cross compiler
TOOLCHAIN = "cmake/aarch64-linux-gnu.cmake"
# QEMU's default CPU has no dot products of INT8 (asimddp), which each CPU since 2018 has.
CPU = "cortex-a76"
CPUINFO = """\
processor	: {number}
BogoMIPS	: 100.00
Features	: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x4
CPU part	: 0xd0b
CPU revision	: 1

"""


def emulator(place: Path) -> tuple[str | Path, ...]:
    """QEMU whose root has ARM's C library and an ARM machine's /proc/cpuinfo.

    ONNX Runtime would read the one here, and crash when it is loaded.
    """
    root = place / "root"
    (root / "proc").mkdir(parents=True)
    cpus = range(os.cpu_count() or 1)
    (root / "proc" / "cpuinfo").write_text("".join(CPUINFO.format(number=number) for number in cpus))
    (root / "lib").symlink_to(SYSROOT / "lib")
    return ("qemu-aarch64", "-cpu", CPU, "-L", root)


def build_arm64(folder: Path, place: Path, downloads: Path) -> Build:
    """Build and install `folder` by the commands of its README, and the harness against `folder`/device.

    downloads: where the archives that CMake fetches stay from run to run.
    """
    with (folder / TOOLCHAIN).open("a", encoding="utf-8") as added:
        # less to compile, and faster
        added.write("set(CMAKE_UNITY_BUILD ON)\nset(CMAKE_UNITY_BUILD_BATCH_SIZE 0)\n")
        added.write('set(CMAKE_CXX_FLAGS_RELEASE "-O1")\n')
    environment = {
        **os.environ,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "CONVNEXT_EDGE_DOWNLOADS": str(downloads),
    }
    done = subprocess.run(
        ["bash", "-ec", readme_commands(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot be downloaded" in done.stderr or "No matching distribution" in done.stderr:
        missing(f"the runtime for ARM cannot be fetched: {done.stderr.strip()[-400:]}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    run(
        *("cmake", "-S", HARNESS, "-B", place / "harness", f"-DCMAKE_PREFIX_PATH={folder / 'device'}"),
        *(f"-DCMAKE_TOOLCHAIN_FILE={folder / TOOLCHAIN}", "-DCMAKE_BUILD_TYPE=Release"),
    )
    run("cmake", "--build", place / "harness")
    return Build(place / "harness" / "harness", folder / "device" / "bin" / "classify", emulator(place))


def readme_commands(folder: Path) -> str:
    """The commands below the README's heading for ARM64."""
    section = (folder / "README.md").read_text(encoding="utf-8").split("## For ARM64 Linux")[1]
    (commands,) = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    return str(commands)
