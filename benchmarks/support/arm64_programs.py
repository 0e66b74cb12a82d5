"""The runtimes for 64-bit ARM, and the programs that run a model in them to be counted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

from benchmarks.support.counting import (
    COMPILER,
    SOURCES,
    Counts,
    Emulator,
    Node,
    Operators,
    build_plugin,
    by_operator,
    onnxruntime_nodes,
    openvino_nodes,
)
from benchmarks.support.mobile import version_there

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from support.embedded import onnxruntime_headers

IMAGES = 3  # of a run: the second and the third are counted, without what it takes to load the model
NODES: dict[str, Callable[[Path], list[Node]]] = {
    "onnxruntime": onnxruntime_nodes,
    "openvino": openvino_nodes,
}


@dataclass(frozen=True)
class Package:
    """A runtime's package on PyPI: its name, the platform of the wheel, and the folder in it."""

    name: str
    platform: str
    folder: str
    elsewhere: bool = False  # whether it has an environment of its own here

    def version(self, runtime: str) -> str:
        return version_there(runtime, self.name) if self.elsewhere else version(self.name)


PACKAGES = {
    "onnxruntime": Package("onnxruntime", "manylinux_2_28_aarch64", "onnxruntime"),
    "openvino": Package("openvino", "manylinux_2_35_aarch64", "openvino"),
    "executorch": Package("executorch", "manylinux_2_28_aarch64", "executorch", elsewhere=True),
    "litert": Package("ai-edge-litert", "manylinux_2_27_aarch64", "ai_edge_litert", elsewhere=True),
}


@dataclass(frozen=True)
class Program:
    """A program that runs a model in a runtime on an emulated CPU."""

    runtime: str
    binary: Path
    emulator: Emulator

    def count_image(self, model: Path, cpu: str) -> Counts:
        """What one image executes, without what it takes to load the model."""
        return self.count_and_answer(model, cpu)[0]

    def count_and_answer(self, model: Path, cpu: str) -> tuple[Counts, list[float]]:
        """The same, and the first output for the image that the programs make."""
        found = self.emulator.count(cpu, self.binary, model, str(IMAGES), marks=True)
        return found.image, [float(line) for line in found.output.split()]

    def count_operators(self, model: Path, cpu: str, *, images: int = 2) -> Operators:
        """What the last of some images executes, by operator of the graph that runs."""
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder) / "profile"
            marked = self.emulator.count(cpu, self.binary, model, str(images), profile, marks=True)
            (written,) = profile.parent.glob("profile*")
            return by_operator(marked, NODES[self.runtime](written), images=images)

    def kernels(self, model: Path, cpu: str) -> list[tuple[str, str]]:
        """(layer type, primitive) of each node, as OpenVINO tells it."""
        told = self.emulator.run(cpu, self.binary, model, "0")
        nodes = (line.split() for line in told.decode().splitlines())
        return [(kind, primitive) for kind, primitive in nodes]


def build_program(runtime: str, place: Path) -> Program:
    """Fetch a runtime's package for ARM from PyPI, and compile the program and the plugin in `place`."""
    place.mkdir(parents=True, exist_ok=True)
    libraries, options = LAID_OUT[runtime](fetch(runtime, place), place)
    binary = place / f"run_{runtime}"
    source = SOURCES / f"{runtime}.cpp"
    command = (COMPILER, "-std=c++17", "-O2", source, *options, "-Wl,--allow-shlib-undefined", "-o", binary)
    subprocess.run(command, check=True)
    return Program(runtime, binary, Emulator(build_plugin(place), place, libraries))


def fetch(runtime: str, place: Path) -> Path:
    """The folder of a runtime's package for ARM, in the version that is installed here."""
    package, unpacked = PACKAGES[runtime], place / "package"
    if unpacked.is_dir():
        return unpacked / package.folder
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
    wanted = (f"{package.name}=={package.version(runtime)}", "--platform", package.platform, "-d", place)
    subprocess.run([*pip, *wanted], check=True)
    (wheel,) = place.glob(f"{package.folder}-*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    wheel.unlink()
    return unpacked / package.folder


def lay_out_onnxruntime(package: Path, place: Path) -> tuple[Path, list[str | Path]]:
    """Where the libraries are, and what the compiler needs; the package has no headers."""
    folder = package / "capi"
    library = next(folder.glob("libonnxruntime.so.*.*.*"))
    linked = folder / "libonnxruntime.so.1"
    linked.unlink(missing_ok=True)
    linked.symlink_to(library.name)
    return folder, ["-I", onnxruntime_headers(place) / "onnxruntime", linked]


def lay_out_openvino(package: Path, _place: Path) -> tuple[Path, list[str | Path]]:
    folder = package / "libs"
    (library,) = folder.glob("libopenvino.so.*")
    return folder, ["-I", package / "include", library]


def lay_out_executorch(package: Path, _place: Path) -> tuple[Path, list[str | Path]]:
    """Those libraries whose kernels register themselves are linked though nothing calls them."""
    folder, headers = package / "lib", package / "include"
    defined = ("-DC10_USING_CUSTOM_GENERATED_MACROS", "-DET_EVENT_TRACER_ENABLED", "-w")
    parts = ("", "_threadpool", "_kernels_optimized", "_backend_xnnpack")
    (c10,) = headers.rglob("portable_type/c10")
    libraries = [folder / f"libexecutorch{part}.so" for part in parts]
    return folder, ["-I", headers, "-I", c10, *defined, "-Wl,--no-as-needed", *libraries]


def lay_out_litert(package: Path, _place: Path) -> tuple[Path, list[str | Path]]:
    return package, [package / "libLiteRt.so"]


LAID_OUT = {
    "onnxruntime": lay_out_onnxruntime,
    "openvino": lay_out_openvino,
    "executorch": lay_out_executorch,
    "litert": lay_out_litert,
}
