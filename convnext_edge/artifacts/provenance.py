"""What is recorded of how a file came to be: tool versions and the command line."""

from __future__ import annotations

import shlex
import sys
from importlib import metadata
from pathlib import Path

from convnext_edge.artifacts.names import printable
from convnext_edge.version import __version__

TOOLS = ("torch", "torchao", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf", "numpy")


def tool_versions() -> dict[str, str]:
    """Return the versions of this package and of the installed ones among those that shape a model."""
    versions = {"convnext-edge": __version__}
    for tool in TOOLS:
        try:
            versions[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return versions


def command_line() -> str:
    """Return the command that this process was started with, ready for a shell."""
    program = Path(sys.argv[0])
    started = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return printable(shlex.join([*started, *sys.argv[1:]]))
