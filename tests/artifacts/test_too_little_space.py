"""Too little memory or disk: one clear message, and what was there before stays as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import commands_in, run, said
from support.full_disk import small_files
from support.models import CHECKPOINT, Models

import convnext_edge
from convnext_edge.artifacts.store import open_artifact


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with commands_in(tmp_path, monkeypatch):
        yield


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
    def doctor(**_: object) -> None:
        raise error

    monkeypatch.setattr(convnext_edge, "doctor", doctor)
    done = run("doctor")
    assert done.exit_code == 1
    assert said(done).startswith(f"Error: there is not enough memory: {error} Take a smaller model")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def doctor(**_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(convnext_edge, "doctor", doctor)
    with pytest.raises(RuntimeError, match="a fault"):
        run("doctor")


# A full disk


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


@pytest.mark.slow
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
