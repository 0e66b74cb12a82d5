"""The folder of `--lang cpp`: a C++17 library, its sample, and a CMake build around an engine."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.embed.bundle import fill_readme, runtime_of, write_bundle
from convnext_edge.commands.embed.steps import Steps
from convnext_edge.errors import UsageError
from convnext_edge.tasks import Task

SOURCES = Path(__file__).parents[2] / "embed_sources" / "cpp"
BUILD = "cmake -S . -B build && cmake --build build"
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
}
BUILD_ARM64 = """\
cmake -S . -B build-arm64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake \\
    -DCONVNEXT_EDGE_INSTALL_RUNTIME=ON {runtime}
cmake --build build-arm64
cmake --install build-arm64 --prefix device"""


@dataclass(frozen=True)
class Guide:
    """The part of README.md that explains a runtime; {version} stands for its version."""

    obtain: str  # how to get the runtime
    obtain_arm64: str  # how to get it for ARM64
    build_arm64: str  # the commands that build for ARM64
    needs: str  # what must be done before the build, as a sentence
    build: str = BUILD  # the command that builds


GUIDES = {
    "openvino": Guide(
        """\
- OpenVINO {version}: `pip install openvino=={version}` brings headers, libraries and CMake files, and CMake
  asks the `python` of the `PATH` where: activate its environment first. Or take
  Intel's archive (<https://docs.openvino.ai>, "Install OpenVINO Runtime") and give its `runtime/cmake` as
  `-DOpenVINO_DIR=DIR`.""",
        "OpenVINO's libraries for ARM come from PyPI too, and want glibc 2.35 or newer:",
        """\
pip download --no-deps --only-binary :all: --platform manylinux_2_35_aarch64 -d arm64 openvino=={version}
python -m zipfile -e arm64/openvino-*.whl arm64
"""
        + BUILD_ARM64.format(runtime="-DOpenVINO_DIR=$PWD/arm64/openvino/cmake"),
        "activate the environment that OpenVINO {version} is installed in: CMake asks its python",
    ),
    "executorch": Guide(
        """\
- ExecuTorch {version} and CMake 3.28: `pip install executorch=={version} cmake` brings both, ExecuTorch with
  headers, libraries and CMake files, and CMake asks the `python` of the `PATH` where. Or name the folder of
  `executorch-config.cmake`: `-Dexecutorch_DIR=DIR`.

All models of a process share ExecuTorch's one pool of threads: while one is loaded, others can be loaded
with the same number of threads, or with 1. ExecuTorch logs to stderr, unless
`executorch::runtime::register_pal` gives it another log.

On a phone this is unverified: for Android and iOS, ExecuTorch's libraries are built from its sources.""",
        "ExecuTorch's libraries for ARM come from PyPI too, and want glibc 2.28 or newer:",
        """\
pip download --no-deps --only-binary :all: --platform manylinux_2_28_aarch64 --python-version 3.11 \\
    -d arm64 executorch=={version}
python -m zipfile -e arm64/executorch-*.whl arm64
"""
        + BUILD_ARM64.format(runtime="-Dexecutorch_DIR=$PWD/arm64/executorch/lib/cmake/executorch"),
        "activate the environment that ExecuTorch {version} and CMake 3.28 are installed in: CMake asks its"
        " python",
    ),
    "onnxruntime": Guide(
        """\
- ONNX Runtime {version} or newer: unpack the archive of your system from
  <https://github.com/microsoft/onnxruntime/releases> (as `onnxruntime-linux-x64-{version}.tgz`) and name its
  folder: `-DONNXRuntime_ROOT=DIR`, or an environment variable of that name.""",
        "Unpack `onnxruntime-linux-aarch64-{version}.tgz` from the same place, here into `arm64`:",
        BUILD_ARM64.format(runtime="-DONNXRuntime_ROOT=$PWD/arm64"),
        "unpack onnxruntime-linux-x64-{version}.tgz, or the archive of your system, from"
        " https://github.com/microsoft/onnxruntime/releases; DIR is the full path of its folder",
        BUILD.replace("-B build", "-B build -DONNXRuntime_ROOT=DIR", 1),
    ),
}


def write_cpp(engine: Artifact, labels: Path | None, folder: Path) -> Steps:
    """Fill the empty `folder`, and return how it is built there.

    Raises UsageError for an engine of a runtime that the library does not support, or a wrong number of
    labels.
    """
    runtime = runtime_of(engine.description)
    if runtime not in GUIDES:
        raise UsageError(
            f"{engine.path} is an engine for {runtime}, which has no C++ library here",
            hint=f"Build one for {' or '.join(GUIDES)}: convnext-edge build --target openvino",
        )
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    write_bundle(engine, labels, folder / "model")
    version = (engine.description.engine or {}).get("version", "unknown")
    guide = {key: text.format(version=version) for key, text in asdict(GUIDES[runtime]).items()}
    call = CALLS[engine.description.task]
    fill_readme(engine, folder, runtime=runtime, version=version, call=call, **guide)
    return Steps(BUILD, shown=guide["build"], needs=guide["needs"])
