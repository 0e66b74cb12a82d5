"""The environments of ExecuTorch and LiteRT, which `make test-mobile` makes, as benchmarks use them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.support.reports import ROOT

PLACE = ROOT / os.environ.get("MOBILE", ".venv-mobile")  # as in the Makefile


def python_of(runtime: str) -> Path:
    """The interpreter of a runtime's environment."""
    found = PLACE / runtime / "bin" / "python"
    if not found.exists():
        raise SystemExit(f"{found} is missing: make it with `make {found.parents[1]}/.ready`")
    return found


def version_there(runtime: str, package: str) -> str:
    """The version of a package in a runtime's environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.check_output([python_of(runtime), "-c", code], text=True).strip()


def build_there(model: Path, target: str, engine: Path) -> None:
    """Build an engine, unless it is there."""
    if engine.exists():
        return
    call = (python_of(target), "-m", "convnext_edge", "build", model, "--target", target, "--output", engine)
    subprocess.run([*call, "--workspace", engine.parent], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
