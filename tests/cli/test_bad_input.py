"""What a user can get wrong: one clear message, no traceback, and nothing half-written in the workspace."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.command_line import commands_in, run, said
from support.models import CHECKPOINT, Models

from convnext_edge.artifacts.sidecar import sidecar_path

Prepare = Callable[[Path, Models], list[object]]


class Code:
    """Pickled, it would run a command where it is read."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def saved_code() -> bytes:
    """A checkpoint as torch.save writes it, with an object in it that is code."""
    content = io.BytesIO()
    torch.save({"model": Code()}, content)
    return content.getvalue()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with commands_in(tmp_path, monkeypatch):
        yield


# Each returns the arguments of a command. {value} in what is said stands for the path of the bad file.


def export_of(content: bytes) -> Prepare:
    def prepare(folder: Path, models: Models) -> list[object]:
        (folder / "bad.pth").write_bytes(content)
        return ["export", "--checkpoint", "bad.pth"]

    return prepare


def other_architecture(folder: Path, models: Models) -> list[object]:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(10, 64)}, "bad.pth")
    return ["export", "--checkpoint", "bad.pth"]


def no_checkpoint(folder: Path, models: Models) -> list[object]:
    return ["export", "--checkpoint", "bad.pth"]


def wrong_variant(folder: Path, models: Models) -> list[object]:
    return ["export", "--checkpoint", CHECKPOINT, "--variant", "tiny"]


def resolution(folder: Path, models: Models) -> list[object]:
    return ["export", "--checkpoint", CHECKPOINT, "--resolution", 16]


def quantize(models: Models, *options: object) -> list[object]:
    return ["quantize", models.exported(), "-o", "out/int8.onnx", *options]


def empty_folder(folder: Path, models: Models) -> list[object]:
    (folder / "empty").mkdir()
    return quantize(models, "--calib", "empty")


def no_images(folder: Path, models: Models) -> list[object]:
    (folder / "texts").mkdir()
    (folder / "texts" / "notes.txt").write_text("no image")
    return quantize(models, "--calib", "texts")


def only_broken_images(folder: Path, models: Models) -> list[object]:
    (folder / "broken").mkdir()
    (folder / "broken" / "one.png").write_bytes(b"no image")
    return quantize(models, "--calib", "broken")


def no_such_images(folder: Path, models: Models) -> list[object]:
    return quantize(models, "--calib", "nowhere")


def unknown_key(folder: Path, models: Models) -> list[object]:
    (folder / "mine.toml").write_text('ranges = "mse"\n')
    return quantize(models, "--calib", models.photos, "--recipe", "mine.toml")


def foreign_onnx(folder: Path, models: Models) -> list[object]:
    shutil.copy(models.exported(), folder / "foreign.onnx")
    return ["quantize", "foreign.onnx", "--calib", models.photos, "-o", "out/int8.onnx"]


def mismatched_sidecar(folder: Path, models: Models) -> list[object]:
    model = models.exported()
    shutil.copy(sidecar_path(model), folder)
    (folder / model.name).write_bytes(model.read_bytes() + b" ")
    return ["build", model.name, "-o", "out/engine.xml"]


def foreign_sidecar(folder: Path, models: Models) -> list[object]:
    shutil.copy(models.exported(), folder / "model.onnx")
    (folder / "model.onnx.json").write_text(json.dumps({"name": "of another program"}))
    return ["benchmark", "model.onnx"]


def weights_alone(folder: Path, models: Models) -> list[object]:
    models.exported()
    return ["validate", models.workspace / "timm_v1.safetensors", "--data", models.photos]


def a_folder(folder: Path, models: Models) -> list[object]:
    (folder / "models").mkdir()
    return ["build", "models"]


def lost_weights(folder: Path, models: Models) -> list[object]:
    model = models.exported()
    shutil.copy(model, folder)
    shutil.copy(sidecar_path(model), folder)
    return ["validate", model.name, "--data", models.photos]


CASES: list[tuple[str, Prepare, str, str]] = [
    ("no checkpoint", no_checkpoint, "bad.pth does not exist", "Check the path"),
    ("truncated", export_of(CHECKPOINT.read_bytes()[:5000]), "bad.pth (5,000 bytes)", "Give a .safetensors"),
    ("empty checkpoint", export_of(b""), "bad.pth is empty (0 bytes)", "Copy or download it again"),
    ("no weights file", export_of(b"GIF89a" * 20), "bad.pth is neither a safetensors nor", "torch.save("),
    ("code", export_of(saved_code()), "could run any code", "Save the weights alone"),
    ("other architecture", other_architecture, "bad.pth", ""),
    ("wrong variant", wrong_variant, "is not a tiny: it has depths (1, 1, 2, 1)", "Leave --variant out"),
    ("resolution", resolution, "resolution 16 is smaller than 32", "Take 32 or more"),
    ("empty calibration set", empty_folder, "empty holds no images", ".jpeg"),
    ("folder without images", no_images, "texts holds no images", ".jpeg"),
    ("broken images", only_broken_images, "one.png", "Get these files again"),
    ("no such images", no_such_images, "nowhere is neither a named image set nor", "imagenet_val"),
    ("unknown key", unknown_key, "mine.toml: unknown key 'ranges'", "Known keys: activation, range"),
    ("foreign onnx", foreign_onnx, "foreign.onnx is not an artifact of convnext-edge", "export --checkpoint"),
    ("mismatched sidecar", mismatched_sidecar, "timm_v1.onnx does not match its sidecar", "make it again"),
    ("foreign sidecar", foreign_sidecar, "model.onnx.json is damaged: it", "Make the artifact"),
    ("weights alone", weights_alone, "holds weights alone", "export --checkpoint"),
    ("a folder", a_folder, "models is a folder, not a file", "Name a file"),
    ("lost weights", lost_weights, "was made from timm_v1.safetensors, which is not in", "start again"),
]


@pytest.mark.parametrize(("prepare", "what", "remedy"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_bad_input_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, models: Models, prepare: Prepare, what: str, remedy: str
) -> None:
    arguments = prepare(tmp_path, models)
    given = {path.name for path in tmp_path.iterdir()}
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert said(done).count("Error: ") == 1
    assert what in said(done)
    assert remedy in said(done)
    assert "Traceback" not in done.stderr
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()} - given
    assert {name for name in left if name not in known_files(tmp_path, given)} == set()


def known_files(folder: Path, given: set[str]) -> set[str]:
    """Files inside the folders that the test itself made."""
    return {path.name for name in given for path in (folder / name).rglob("*")}


@pytest.mark.parametrize("content", [saved_code(), pickle.dumps({"model": Code()})], ids=["torch", "pickle"])
def test_the_code_in_a_checkpoint_is_not_run(tmp_path: Path, models: Models, content: bytes) -> None:
    assert run(*export_of(content)(tmp_path, models)).exit_code == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "command", [("export",), ("quantize", "--calib", "demo")], ids=["export", "quantize"]
)
def test_a_checkpoint_in_the_workspace_is_not_written_over(tmp_path: Path, command: tuple[str, ...]) -> None:
    own = Path(shutil.copy(CHECKPOINT, tmp_path / "mine.safetensors"))
    done = run(*command, "--checkpoint", own, "--workspace", ".")
    assert done.exit_code == 2
    assert "mine.safetensors is no file of convnext-edge" in said(done)
    assert "Choose another --workspace" in said(done)
    assert own.read_bytes() == CHECKPOINT.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {own.name}
