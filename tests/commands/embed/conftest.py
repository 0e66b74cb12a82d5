"""Embedded folders that several files look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.models import Models

from convnext_edge import embed


@pytest.fixture(scope="session")
def android_folder(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    engine = models.engine("onnxruntime", models.quantized("onnxruntime"))
    return embed(engine, lang="android", output=tmp_path_factory.mktemp("embedded") / "app").directory
