"""Compiling once what is compiled twice, within a run of the tests and from one to the next: by ccache."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

LAUNCHER = "CMAKE_CXX_COMPILER_LAUNCHER"  # which CMake reads when a build is configured first


def variables(folder: Path) -> dict[str, str]:
    """What the environment tells CMake and ccache; nothing where there is no ccache. folder: that it fills.

    ccache goes by the preprocessed source, and by the compiler with its options. Paths below the folder of
    temporary files count as relative, as each build has another place there.
    """
    if shutil.which("ccache") is None:
        return {}
    return {LAUNCHER: "ccache", "CCACHE_DIR": str(folder), "CCACHE_BASEDIR": tempfile.gettempdir()}


def compiler() -> list[str]:
    """How the tests themselves call the C++ compiler of this machine."""
    return [*filter(None, [os.environ.get(LAUNCHER)]), "c++"]
