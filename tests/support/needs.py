"""What tests need from outside of Python: programs of the system, and packages that `make npm` fetches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from support.places import ROOT

NPM = ROOT / "build" / "npm" / "node_modules"


def missing(reason: str) -> NoReturn:
    """Skip the test; in CI, where all of it can be had, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(*names: str) -> str:
    """The first of the programs that is here."""
    found = next((path for path in map(shutil.which, names) if path), None)
    return found or missing(f"needs {' or '.join(names)}")


def npm_package(name: str) -> Path:
    """The folder of a package of npm, at the version of fixtures/npm/package.json."""
    folder = NPM / name
    if not folder.is_dir():
        missing(f"needs {name} of npm: run `make npm`")
    return folder
