"""The folder of `--lang cpp`: a C++17 library, its sample, and a CMake build around an engine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.embed.archives import Pin, read_pins
from convnext_edge.commands.embed.bundle import fill_readme, runtime_of, write_bundle
from convnext_edge.commands.embed.steps import Steps
from convnext_edge.cpu import Machine, this_machine
from convnext_edge.errors import UsageError
from convnext_edge.targets.kernels import Kernels, kernels_of
from convnext_edge.targets.registry import DEFAULT, find_target
from convnext_edge.tasks import Task

SOURCES = Path(__file__).parents[2] / "embed_sources" / "cpp"
TRY = "build/classify --model model PICTURE"  # the same for every task
BUILD = "cmake -S . -B build && cmake --build build"
# Seen with 1.31.1, from C++.
RUNTIME_NOTES = {
    "onnxruntime": """\
ONNX Runtime's library of PyPI, which CMake downloads, can report its use to Microsoft, and writes a file
`.ses` into `$TMPDIR` (or `/tmp`) as soon as a model is loaded. With `CI=true` in the environment it writes
none: the sample sets that for itself, and your program calls `setenv("CI", "true", 0)` before the first
`Model`.

""",
}
IMAGE = "{pixels, width, height}"
# What an application calls
CALLS: dict[Task, str] = {
    "classify": f"""\
const auto found = model.classify({IMAGE}, 5);  // 8-bit RGB of any size
std::cout << found[0].label << ' ' << found[0].probability << '\\n';""",
    "multilabel": f"""\
for (const auto& found : model.multilabel({IMAGE})) {{  // 8-bit RGB of any size
    std::cout << found.label << ' ' << found.probability << '\\n';
}}""",
    "regress": f"const std::vector<float> values = model.regress({IMAGE});  // 8-bit RGB of any size",
    "embed": f"""\
const std::vector<float> one = model.embed({IMAGE});  // 8-bit RGB of any size
const std::vector<float> other = model.embed({{pixels2, width2, height2}});
std::cout << convnext_edge::cosine(one, other) << '\\n';""",
    "features": f"""\
for (const auto& map : model.features({IMAGE})) {{  // 8-bit RGB of any size
    std::cout << map.name << ' ' << map.shape[0] << ' ' << map.shape[1] << ' ' << map.shape[2] << '\\n';
}}""",
    "detect": f"""\
for (const auto& found : model.detect({IMAGE}, 0.5F)) {{  // 8-bit RGB of any size
    std::cout << found.label << ' ' << found.score << ' ' << found.box.left << ' ' << found.box.top << '\\n';
    const auto mask = found.mask();  // which pixels of a rectangle are of it
}}""",
    "segment": f"""\
const auto map = model.segment({IMAGE});  // 8-bit RGB of any size
std::cout << "in the corner: " << model.labels()[map.classes.front()] << '\\n';""",
}
# CMake's toolchain file and Debian's compiler, by the machine that is compiled for.
CROSS: dict[Machine, tuple[str, str]] = {
    "aarch64": ("cmake/aarch64-linux-gnu.cmake", "g++-aarch64-linux-gnu"),
    "x86-64": ("cmake/x86_64-linux-gnu.cmake", "g++-x86-64-linux-gnu"),
}
# What README.md tells of how a runtime is had; {pin} is what is downloaded, {version} built the engine.
PREFERENCE = """\
and {name} {version} or newer. CMake takes the first that there is:

1. the one that `{option}=DIR` names: {folder};
2. one that it finds {places};
3. a download of {name} {pin.version} ({size}), whose SHA-256 is in `cmake/archives.json`: for Linux on
   x86-64 or ARM64, with the GNU C library {glibc} or newer. Without a network, CMake says what to give."""
NO_PREFERENCE = """\
and {name} {version}, which built the engine. It is newer than the one that CMake can download here
({pin.version}), so name it: `{option}=DIR`, {folder}."""
NEEDS = "give CMake {name} {version} as {option}=DIR: {folder}"


@dataclass(frozen=True)
class Found:
    """How CMake finds a runtime; {version} stands for its version."""

    option: str  # that names it
    folder: str  # which folder that is
    places: str  # where it is looked for


FOUND = {
    "openvino": Found(
        "-DOpenVINO_DIR",
        "the folder of `OpenVINOConfig.cmake`, `openvino/cmake` of `pip install openvino=={version}`",
        "in the system or beside the `python` of the `PATH`",
    ),
    "onnxruntime": Found(
        "-DONNXRuntime_ROOT",
        "the unpacked archive of your system from <https://github.com/microsoft/onnxruntime/releases>",
        "in the system",
    ),
}
EXECUTORCH = """\
and ExecuTorch {version} with CMake 3.28: `pip install executorch=={version} cmake` brings both, ExecuTorch
with headers, libraries and CMake files, and CMake asks the `python` of the `PATH` where. Or name the folder
of `executorch-config.cmake`: `-Dexecutorch_DIR=DIR`.

All models of a process share ExecuTorch's one pool of threads: while one is loaded, others can be loaded
with the same number of threads, or with 1. ExecuTorch logs to stderr, unless
`executorch::runtime::register_pal` gives it another log.

On a phone this is unverified: for Android and iOS, ExecuTorch's libraries are built from its sources."""
EXECUTORCH_NEEDS = (
    "activate the environment that ExecuTorch {version} and CMake 3.28 are installed in: CMake asks its"
    " python"
)
EXECUTORCH_ARM64 = """\
pip download --no-deps --only-binary :all: --platform manylinux_2_28_aarch64 --python-version 3.11 \\
    -d arm64 executorch=={version}
python -m zipfile -e arm64/executorch-*.whl arm64
cmake -S . -B build-arm64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake \\
    -DCONVNEXT_EDGE_INSTALL_RUNTIME=ON -Dexecutorch_DIR=$PWD/arm64/executorch/lib/cmake/executorch
cmake --build build-arm64
cmake --install build-arm64 --prefix device"""


TRIED = """\
build/classify --model model picture.jpg          # also PNG, BMP, PPM, a folder, or --camera /dev/video0
build/classify --model model --bench picture.jpg  # JSON with the latency on this machine"""
TRIED_ELSEWHERE = """\
cmake --install build --prefix device             # all that the machine needs: copy the folder, and there
bin/classify --model share/convnext_edge/model picture.jpg"""


@dataclass(frozen=True)
class Guide:
    """How a folder is built, for its README.md and for who wrote it."""

    build: str  # the command that builds
    obtain: str  # how to get the runtime
    device: str  # the commands that build for another machine, and gather what it needs
    tried: str = TRIED  # the commands that try what was built
    needs: str = ""  # what must be done before the build, as a sentence


def write_cpp(engine: Artifact, labels: Path | None, folder: Path, kernels: Kernels) -> Steps:
    """Fill the empty `folder`, and return how it is built there.

    kernels: of the machine that it is built for. Raises UsageError for an engine of a runtime that the
    library does not support, or a wrong number of labels.
    """
    runtime = runtime_of(engine.description)
    if runtime not in (*FOUND, "executorch"):
        raise UsageError(
            f"{engine.path} is an engine for {runtime}, which has no C++ library here",
            hint=f"Build one for {' or '.join(FOUND)}: convnext-edge build --target openvino",
        )
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    write_bundle(engine, labels, folder / "model", kernels)
    version = (engine.description.engine or {}).get("version", "unknown")
    machine = kernels.machine or this_machine()
    guide = guide_executorch(version) if runtime == "executorch" else guide_to(runtime, version, machine)
    fill_readme(
        engine,
        folder,
        kernels,
        runtime=runtime,
        version=version,
        call=CALLS[engine.description.task],
        build=guide.build,
        obtain=guide.obtain,
        device=guide.device,
        tried=guide.tried,
        on_arm64=on_arm64(engine),
        runtime_notes=RUNTIME_NOTES.get(runtime, ""),
    )
    return Steps(guide.build, tried=TRY if guide.tried == TRIED else "", needs=guide.needs)


def guide_to(runtime: str, version: str, machine: Machine | None) -> Guide:
    """Return how a folder is built for a machine. version: of the runtime that built the engine."""
    pin, found = read_pins()[runtime], FOUND[runtime]
    folder = found.folder.format(version=version)
    facts = {"name": pin.name, "version": version, "option": found.option, "folder": folder, "pin": pin}
    fetched = pin.reads(version)
    told = PREFERENCE if fetched else NO_PREFERENCE
    obtain = told.format(
        **facts, places=found.places, size=pin.size(machine or "x86-64"), glibc=glibc_of(pin)
    )
    first = [] if fetched else [NEEDS.format(**facts)]
    build, another = BUILD, machine if machine and machine != this_machine() else None
    if another:
        toolchain, package = CROSS[another]
        if shutil.which(package.removeprefix("g++-").replace("x86-64", "x86_64") + "-g++") is None:
            first.append(f"install the cross compiler (Debian, Ubuntu: apt install {package})")
        build = BUILD.replace("-B build", f"-B build -DCMAKE_TOOLCHAIN_FILE={toolchain}", 1)
    device = cross_commands("build" if another else "build-arm64", another or "aarch64")
    return Guide(build, obtain, device, TRIED_ELSEWHERE if another else TRIED, "; ".join(first))


def glibc_of(pin: Pin) -> str:
    """Return the oldest GNU C library that a runtime runs with, in words."""
    usual, arm = pin.glibc["x86-64"], pin.glibc["aarch64"]
    return usual if usual == arm else f"{usual} (ARM64: {arm})"


def cross_commands(place: str, machine: Machine) -> str:
    """Return the commands that build for another machine, and gather what it needs in `device`."""
    return (
        f"cmake -S . -B {place} -DCMAKE_TOOLCHAIN_FILE={CROSS[machine][0]}\n"
        f"cmake --build {place}\n"
        f"cmake --install {place} --prefix device"
    )


def guide_executorch(version: str) -> Guide:
    """Return how a folder for ExecuTorch is built, whose packages are not downloaded by CMake."""
    return Guide(
        BUILD,
        EXECUTORCH.format(version=version),
        EXECUTORCH_ARM64.format(version=version),
        needs=EXECUTORCH_NEEDS.format(version=version),
    )


def on_arm64(engine: Artifact) -> str:
    """Return what README.md says of the INT8 layers on ARM64; empty where they are multiplied in INT8."""
    found = kernels_of(engine.description, find_target(engine.description.target or DEFAULT), "aarch64")
    return f"\n**It is no INT8 engine there**: {found.advice}.\n" if found.advice else ""
