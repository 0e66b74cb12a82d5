"""What is recorded of how a file came to be: tool versions and the command line."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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


@contextmanager
def called(write: Callable[[], str]) -> Iterator[None]:
    """Let `command_line` tell of a call of a command's function, while that works.

    write: returns the command that does the same. What a person typed is told as it was typed, but for the
    commands that it runs in turn.
    """
    typed = _inside.get() is None and _is_ours(Path(sys.argv[0]))
    token = _inside.set(_as_started if typed else write)
    try:
        yield
    finally:
        _inside.reset(token)


def command_line() -> str:
    """Return the command that is at work, ready for a shell; outside of any, what started the process."""
    write = _inside.get() or _as_started
    return printable(write())


_inside: ContextVar[Callable[[], str] | None] = ContextVar("_inside", default=None)


def _is_ours(program: Path) -> bool:
    is_module = program.name == "__main__.py" and program.parent.name == "convnext_edge"
    return is_module or program.stem == "convnext-edge"


def _as_started() -> str:
    program = Path(sys.argv[0])
    started = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return shlex.join([*started, *sys.argv[1:]])
