"""Embedded folders that several files look at."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support.detectors import CHECKPOINT, NAMES, SETTINGS, SIZE, Engines
from support.embedded_web import Browser
from support.models import Models

from convnext_edge import build, embed, export, quantize


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium; each page that is opened takes the place of the one before."""
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="session")
def android_folder(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    engine = models.engine("onnxruntime", models.quantized("onnxruntime"))
    return embed(engine, lang="android", output=tmp_path_factory.mktemp("embedded") / "app").directory


@pytest.fixture(scope="session")
def detectors(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Engines:
    """The engine of the tiny detector in INT8 for a runtime."""
    place = tmp_path_factory.mktemp("detectors")
    names = place / "names.txt"
    names.write_text("\n".join(NAMES))

    @cache
    def exported() -> Path:
        made = export(checkpoint=CHECKPOINT, resolution=SIZE, classes=names, workspace=place, **SETTINGS)
        return made.artifact

    def made(runtime: str) -> Path:
        model = quantize(exported(), calib=photos, samples=8, target=runtime, timing=False, workspace=place)
        return build(model.artifact, target=runtime, workspace=place).engine

    return cache(made)
