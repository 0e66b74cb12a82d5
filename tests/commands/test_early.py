"""What a look at the disk tells is said before PyTorch is imported."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from support.models import Models

import convnext_edge
from convnext_edge.errors import ArtifactError, CheckpointError, ImageSetError, UsageError


def too_late(*_packages: str) -> NoReturn:
    pytest.fail("heavy packages are imported first")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Call a command in an empty folder, where no heavy package may be imported."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *arguments: object, **options: object) -> object:
        folders = {"compare", "quantize", "finetune", "validate"}
        command = f"{name}.command" if name in folders else name
        module = importlib.import_module(f"convnext_edge.commands.{command}")
        monkeypatch.setattr(module, "importing", too_late)
        return getattr(convnext_edge, name)(*arguments, **options)

    return call


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("quantize", {"calib": "demo"}),
        ("sensitivity", {"calib": "demo"}),
        ("compare", {"calib": "demo", "data": "demo"}),
        ("validate", {"data": "demo"}),
        ("finetune", {"train": "demo"}),
        ("build", {}),
    ],
)
def test_an_empty_workspace_is_seen_at_once(
    asked: Callable[..., object], name: str, options: dict[str, str]
) -> None:
    with pytest.raises(ArtifactError, match=r"there is no .*model in the workspace") as caught:
        asked(name, **options)
    assert "convnext-edge export FILE (or --variant NAME)" in caught.value.hint


def test_images_that_are_not_there_are_seen_at_once(asked: Callable[..., object], models: Models) -> None:
    Path("notes.txt").touch()
    model = models.exported()
    for images, said in (("nofolder", "neither a named image set"), ("notes.txt", "neither a folder nor")):
        for name, options in (
            ("quantize", {"calib": images}),
            ("quantize", {"calib": "demo", "data": images, "max_drop": 1.0}),
            ("sensitivity", {"calib": images}),
            ("validate", {"data": images}),
            ("finetune", {"train": images}),
        ):
            with pytest.raises(ImageSetError, match=said):
                asked(name, model, **options)


def test_weights_and_variants_that_are_not_there_are_seen_at_once(asked: Callable[..., object]) -> None:
    for name, options in (("export", {}), ("quantize", {"calib": "demo"})):
        with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
            asked(name, checkpoint="none.pth", **options)
    with pytest.raises(UsageError, match="there is no variant 'tinny'"):
        asked("export", variant="tinny")
    for name, options in (("quantize", {"calib": "demo"}), ("finetune", {"train": "demo"}), ("build", {})):
        with pytest.raises(ArtifactError, match=r"none\.onnx does not exist"):
            asked(name, "none.onnx", **options)
