"""What a user can get wrong: one clear message, no traceback, and nothing half-written in the workspace."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from conftest import CHECKPOINT, Models

import convnext_edge
from convnext_edge.artifact import open_artifact, sidecar_path
from convnext_edge.cli import main
from convnext_edge.progress import LOGGER

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
    monkeypatch.chdir(tmp_path)
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    yield
    LOGGER.handlers[:], LOGGER.level, LOGGER.propagate = before


def run(*arguments: object) -> Result:
    """An exception that the command line does not translate comes through, and fails the test."""
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def said(done: Result) -> str:
    return " ".join(done.stderr.split())


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
    return ["export", "--checkpoint", CHECKPOINT, "--resolution", 100]


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
    ("no checkpoint", no_checkpoint, "bad.pth cannot be read: No such file", "Check the path"),
    ("truncated", export_of(CHECKPOINT.read_bytes()[:5000]), "bad.pth (5,000 bytes)", "Give a .safetensors"),
    ("empty checkpoint", export_of(b""), "bad.pth is empty (0 bytes)", "Copy or download it again"),
    ("no weights file", export_of(b"GIF89a" * 20), "bad.pth is neither a safetensors nor", "torch.save("),
    ("code", export_of(saved_code()), "could run any code", "Save the weights alone"),
    ("other architecture", other_architecture, "bad.pth", ""),
    ("wrong variant", wrong_variant, "is not a tiny: it has depths (1, 1, 2, 1)", "Leave --variant out"),
    ("resolution", resolution, "resolution 100 is not a multiple of 32", "Take 96 or 128"),
    ("empty calibration set", empty_folder, "empty holds no images", ".jpeg"),
    ("folder without images", no_images, "texts holds no images", ".jpeg"),
    ("broken images", only_broken_images, "one.png", "Get these files again"),
    ("no such images", no_such_images, "nowhere is neither a named image set nor", "imagenet_val"),
    ("unknown key", unknown_key, "mine.toml: unknown key 'ranges'", "Known keys: activation, range"),
    ("foreign onnx", foreign_onnx, "foreign.onnx is not an artifact of convnext-edge", "export --checkpoint"),
    ("mismatched sidecar", mismatched_sidecar, "timm_v1.onnx does not match its sidecar", "make it again"),
    ("foreign sidecar", foreign_sidecar, "model.onnx.json is not a sidecar of ours", "Make the artifact"),
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


# Too little memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 1.12 TiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: x"),
    ],
    ids=["numpy", "torch"],
)
def test_too_little_memory_is_said_without_a_traceback(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def doctor() -> None:
        raise error

    monkeypatch.setattr(convnext_edge, "doctor", doctor)
    done = run("doctor")
    assert done.exit_code == 1
    assert said(done).startswith(f"Error: there is not enough memory: {error} Take a smaller model")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def doctor() -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(convnext_edge, "doctor", doctor)
    with pytest.raises(RuntimeError, match="a fault"):
        run("doctor")


# A full disk


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """The system lets no file of this process grow longer than `limit` bytes: each writer fails half-way."""
    resource = pytest.importorskip("resource", reason="this system limits no file sizes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")} if folder.exists() else set()


def test_weights_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    with small_files(50_000):
        done = run("export", "--checkpoint", CHECKPOINT, "--resolution", 32, "--workspace", "work")
    assert done.exit_code == 1
    assert "cannot write work/timm_v1.safetensors" in said(done)
    assert "MiB free; choose another folder with -o or --workspace" in said(done)
    assert files_in(tmp_path / "work") == set()


@pytest.mark.parametrize(
    ("target", "name"), [("torch", "e.pt2"), ("onnxruntime", "e.onnx"), ("openvino", "e.xml")]
)
def test_an_engine_that_does_not_fit_leaves_nothing(
    tmp_path: Path, models: Models, target: str, name: str
) -> None:
    model = models.quantized()
    with small_files(20_000):
        done = run("build", model, "--target", target, "-o", f"out/{name}", "--workspace", models.workspace)
    assert done.exit_code == 1
    assert f"cannot write out/{name}" in said(done)
    assert "MiB free" in said(done)
    assert files_in(tmp_path / "out") == set()


def test_a_script_that_does_not_fit_leaves_nothing(tmp_path: Path, models: Models) -> None:
    asked = ("build", models.exported(), "--target", "tensorrt", "--emit-script", "-o", "out/script")
    models.engine("openvino", models.exported())  # what it lowers afresh is in the workspace already
    with small_files(20_000):
        done = run(*asked, "--workspace", models.workspace)
    assert done.exit_code == 1
    assert "MiB free" in said(done)
    assert files_in(tmp_path / "out") == set()


def test_an_application_that_does_not_fit_leaves_nothing(tmp_path: Path, models: Models) -> None:
    engine = models.engine("openvino", models.quantized())
    with small_files(5_000):
        done = run("embed", engine, "--lang", "cpp", "-o", "out/app", "--workspace", models.workspace)
    assert done.exit_code == 1
    assert "cannot write out/app: File too large" in said(done)
    assert len(said(done)) < 300
    assert files_in(tmp_path / "out") == set()


def test_a_failed_export_leaves_the_earlier_one_usable(tmp_path: Path) -> None:
    asked = ("export", "--checkpoint", CHECKPOINT, "--resolution", 32, "--workspace", "work")
    assert run(*asked).exit_code == 0
    before = {name: (tmp_path / "work" / name).read_bytes() for name in files_in(tmp_path / "work")}
    with small_files(50_000):
        assert run(*asked).exit_code == 1
    after = {name: (tmp_path / "work" / name).read_bytes() for name in files_in(tmp_path / "work")}
    assert after == before
    assert open_artifact(tmp_path / "work" / "timm_v1.onnx").path.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KiB, where the system lets this user make one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    asked = [mount, "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)] if mount else ["false"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip() or 'no mount command'}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is of Linux")
def test_a_disk_that_is_really_full_is_said_and_left_as_it_was(small_disk: Path) -> None:
    done = run("export", "--checkpoint", CHECKPOINT, "--resolution", 32, "--workspace", small_disk)
    assert done.exit_code == 1
    assert "No space left on device" in said(done)
    assert "choose another folder" in said(done)
    assert files_in(small_disk) == set()


@pytest.mark.parametrize("content", [saved_code(), pickle.dumps({"model": Code()})], ids=["torch", "pickle"])
def test_the_code_in_a_checkpoint_is_not_run(tmp_path: Path, models: Models, content: bytes) -> None:
    assert run(*export_of(content)(tmp_path, models)).exit_code == 1
    assert not (tmp_path / "ran").exists()
