"""The program that answers on a device: of the embedded C++, built here for the device's kind of machine.

What was built is kept in the workspace, under a digest of the sources, and taken again.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten

from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import write_folder
from convnext_edge.cpu import Machine, this_machine
from convnext_edge.devices.executorch_package import cmake_folder
from convnext_edge.errors import DeviceError, UsageError
from convnext_edge.progress import phase
from convnext_edge.version import __version__

SOURCES = Path(__file__).parents[1] / "embed_sources" / "cpp"
RUNTIMES = ("openvino", "onnxruntime", "executorch")  # that the sources know
NAME = "serve"
TOOLCHAINS: dict[Machine, tuple[str, str, str]] = {  # file of the sources, its compiler, Debian's package
    "aarch64": ("cmake/aarch64-linux-gnu.cmake", "aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"),
}
GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)")
LONGEST = 1200  # characters of CMake's message that are shown


@dataclass(frozen=True)
class Program:
    """A folder with `bin/serve` and the libraries of its runtime in `lib`."""

    folder: Path

    @property
    def bytes(self) -> int:
        """The size of all its files together."""
        return sum(path.stat().st_size for path in self._files())

    def least_glibc(self) -> tuple[int, int]:
        """Return the version of the C library that its files need."""
        found = {match for path in self._files() for match in GLIBC.findall(path.read_bytes())}
        return max(((int(major), int(minor)) for major, minor in found), default=(2, 0))

    def _files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


Builder = Callable[[Path, list[str]], Path]  # from sources and options of CMake to what they are installed as


def find_program(
    runtime: str, version: str, machine: Machine, place: Path, elsewhere: Builder | None = None
) -> Program:
    """Return the program for a runtime and a kind of machine, which is built where `place` has none.

    version: of the runtime. elsewhere: builds it where this machine has no compiler for it. Raises
    DeviceError where it cannot be built, UsageError for a runtime that the sources do not know.
    """
    if runtime not in RUNTIMES:
        raise UsageError(
            f"--on runs engines for {', '.join(RUNTIMES)}, and this one is for {runtime}",
            hint="Quantize for one of those: convnext-edge quantize --target onnxruntime --for aarch64",
        )
    folder = place / f"{runtime}-{version}-{machine}-{_digest()[:16]}"
    if not (folder / "bin" / NAME).is_file():
        with phase(f"building the program for {machine}"), temporary_folder() as scratch:
            built = build_program((runtime, version), machine, scratch, elsewhere)
            write_folder(folder, lambda made: _keep(built, made))
    return Program(folder)


def build_program(
    runtime: tuple[str, str], machine: Machine, scratch: Path, elsewhere: Builder | None
) -> Path:
    """Compile the sources in a scratch folder, or elsewhere; return where they are installed.

    runtime: its name and version.
    """
    source, installed = scratch / "source", scratch / "installed"
    shutil.copytree(SOURCES, source)
    (source / "model").mkdir()
    manifest = f"runtime {runtime[0]}\nversion {__version__}\nruntime_version {runtime[1]}\n"
    (source / "model" / "convnext_edge.txt").write_text(manifest, encoding="utf-8")
    options = [
        "-DCONVNEXT_EDGE_SERVE=ON",
        "-DCONVNEXT_EDGE_SAMPLE=OFF",
        "-DCONVNEXT_EDGE_INSTALL_RUNTIME=ON",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_UNITY_BUILD=ON",
        "-DCMAKE_INSTALL_LIBDIR=lib",
    ]
    if elsewhere is not None and not compiles(machine):
        return elsewhere(source, options)
    options += [*toolchain_options(machine, source), *runtime_options(runtime, machine, scratch)]
    _cmake("-S", str(source), "-B", str(scratch / "build"), *options, machine=machine)
    _cmake("--build", str(scratch / "build"), machine=machine)
    _cmake("--install", str(scratch / "build"), "--prefix", str(installed), machine=machine)
    return installed


def compiles(machine: Machine) -> bool:
    """Return whether this machine has what compiles for a kind of machine."""
    compiler = "c++" if machine == this_machine() else TOOLCHAINS.get(machine, ("", "", ""))[1]
    return bool(shutil.which("cmake") and compiler and shutil.which(compiler))


def toolchain_options(machine: Machine, source: Path) -> list[str]:
    """Return what lets CMake compile for another kind of machine than this.

    Raises DeviceError where there is no compiler for it.
    """
    if machine == this_machine():
        return []
    file, compiler, package = TOOLCHAINS.get(machine, ("", "", ""))
    if not compiler or shutil.which(compiler) is None:
        what = f"{compiler} is not on the PATH" if compiler else "none is known here"
        raise DeviceError(
            f"the program for the device needs a compiler for {machine}: {what}",
            hint=f"Install it (apt install {package})."
            if package
            else "Run this command on a machine of that kind.",
        )
    return [f"-DCMAKE_TOOLCHAIN_FILE={source / file}"]


def runtime_options(runtime: tuple[str, str], machine: Machine, scratch: Path) -> list[str]:
    """Return what leads CMake to a runtime that it neither finds nor downloads by itself.

    That is the OpenVINO of this environment, and ExecuTorch for ARM.
    """
    name, version = runtime
    if name == "executorch" and machine == "aarch64" != this_machine():
        return [f"-Dexecutorch_DIR={cmake_folder(version, scratch)}"]
    spec = find_spec("openvino") if name == "openvino" and machine == this_machine() else None
    return [f"-DOpenVINO_DIR={Path(spec.origin).parent / 'cmake'}"] if spec and spec.origin else []


def _cmake(*words: str, machine: Machine) -> None:
    if shutil.which("cmake") is None:
        raise DeviceError(
            f"the program for {machine} is compiled here, and cmake is not on the PATH",
            hint="Install it and a C++ compiler (apt install cmake g++).",
        )
    done = subprocess.run(["cmake", *words], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout
        said = said[max(re.search(r"CMake Error|error:|$", said).start() - 200, 0) :]  # type: ignore[union-attr]
        raise DeviceError(
            f"the program for {machine} cannot be built: {shorten(said, LONGEST, placeholder=' …')}",
            hint="It takes CMake 3.20 (3.28 for ExecuTorch), a C++17 compiler, and the runtime's C++ package"
            " where CMake finds it.",
        )


def _keep(installed: Path, folder: Path) -> None:
    """Copy what runs: the program, and the libraries that the runtime consists of."""
    (folder / "bin").mkdir()
    (folder / "lib").mkdir()
    shutil.copy2(installed / "bin" / NAME, folder / "bin" / NAME)
    for library in (installed / "lib").glob("*.so*"):
        shutil.copy2(library, folder / "lib" / library.name)


def _digest() -> str:
    """Return a digest of the sources."""
    found = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            found.update(f"{path.relative_to(SOURCES).as_posix()}\0".encode())
            found.update(path.read_bytes())
    return found.hexdigest()
