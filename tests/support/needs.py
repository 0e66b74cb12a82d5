"""What tests need from outside: programs and packages, without which they are skipped and, in CI, fail."""

from __future__ import annotations

import os
import shutil
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from support.places import ROOT

NPM = ROOT / "build" / "npm" / "node_modules"
# Markers of packages that exclude each other or packages of .venv: where they are not, CI skips as well.
MOBILE = {"executorch": "executorch", "litert": "litert_torch", "coreml": "coremltools"}


def missing(reason: str, *, module: bool = False) -> NoReturn:
    """Skip the test, or the module that is being imported; in CI, where all of it can be had, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=module)


def program(*names: str) -> str:
    """Return the first of the programs that is here."""
    found = next((path for path in map(shutil.which, names) if path), None)
    return found or missing(f"needs {' or '.join(names)}")


def package(name: str, install: str, *, module: bool = False) -> ModuleType:
    """Import a package that is not among those that convnext-edge always brings."""
    if util.find_spec(name.partition(".")[0]) is None:
        missing(f"needs {name}: {install}", module=module)
    return import_module(name)


def npm_package(name: str) -> Path:
    """Return the folder of a package of npm, at the version of fixtures/npm/package.json."""
    folder = NPM / name
    if not folder.is_dir():
        missing(f"needs {name} of npm: run `make npm`")
    return folder


def check_markers(item: pytest.Item) -> None:
    """Skip a test whose markers name a program or a package that is not here."""
    for marker in item.iter_markers("programs"):
        for name in marker.args:
            program(name)
    if item.get_closest_marker("rtx") and util.find_spec("tensorrt_rtx") is None:
        missing("needs tensorrt_rtx: pip install 'convnext-edge[tensorrt-rtx]'")
    for marker_name, module in MOBILE.items():
        if item.get_closest_marker(marker_name) and util.find_spec(module) is None:
            pytest.skip(f"needs {module}: make test-mobile, or pip install 'convnext-edge[{marker_name}]'")
