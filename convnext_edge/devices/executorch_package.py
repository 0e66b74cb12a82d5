"""ExecuTorch's package for 64-bit ARM, where another machine compiles for it: from PyPI, by pip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import shorten
from zipfile import ZipFile

from convnext_edge.errors import DeviceError
from convnext_edge.progress import phase

VARIABLE = "executorch_DIR"  # by which CMake finds a package of the user's own
PLATFORM = "manylinux_2_28_aarch64"
PYTHON = "3.11"  # of the wheel's name: what is taken of it, C++, needs no Python
LONGEST = 400  # characters of pip's message that are shown


def cmake_folder(version: str, place: Path) -> Path:
    """Return the folder of `executorch-config.cmake`, of the package that is unpacked in `place`.

    Where the environment variable executorch_DIR names one, that is taken. Raises DeviceError where the
    package cannot be downloaded.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    wanted = (f"executorch=={version}", "--platform", PLATFORM, "--python-version", PYTHON, "-d", str(place))
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
    with phase(f"downloading ExecuTorch {version} for aarch64"):
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise DeviceError(
            f"ExecuTorch {version} for aarch64 cannot be downloaded:"
            f" {shorten(done.stderr, LONGEST, placeholder=' …')}",
            hint=f"Unpack its wheel for {PLATFORM}, and name the folder of its executorch-config.cmake in the"
            f" environment variable {VARIABLE}.",
        )
    (wheel,) = place.glob("executorch-*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(place)
    return place / "executorch" / "lib" / "cmake" / "executorch"
