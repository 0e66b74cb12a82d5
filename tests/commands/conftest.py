"""What several tests of commands need."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def flat(photos: Path, tmp_path: Path) -> Path:
    """The photographs without class folders, so without labels."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for path in photos.glob("*/*.png"):
        shutil.copy(path, folder)
    return folder
