"""build --emit-script: a folder that builds with trtexec on another machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from support.for_tensorrt import RTX, run_script, types
from support.models import RESOLUTION, Models

from convnext_edge import build_script
from convnext_edge.errors import UsageError

pytestmark = pytest.mark.usefixtures("no_gpu")


def test_the_script_builds_with_trtexec(models: Models, tmp_path: Path) -> None:
    model = models.quantized("tensorrt")
    made = build_script(model, output=tmp_path / "folder", max_batch=4, workspace=models.workspace)
    assert made.files == ("README.md", "SHA256SUMS", "build.sh", "model.onnx")
    done, (arguments,) = run_script(made.directory, tmp_path)
    assert done.returncode == 0, done.stderr
    size = f"3x{RESOLUTION}x{RESOLUTION}"
    assert {
        "--onnx=model.onnx",
        "--saveEngine=model.engine.unfinished",
        "--stronglyTyped",
        f"--minShapes=image:1x{size}",
        f"--maxShapes=image:4x{size}",
        "--verbose",
    } <= set(arguments)
    engine = (made.directory / "model.engine").read_text().split()[0]
    assert engine == hashlib.sha256((made.directory / "model.onnx").read_bytes()).hexdigest()
    assert not {"--int8", "--fp16", "--best"} & set(arguments)
    assert types(onnx.load(made.directory / "model.onnx"))["head.weight"] == TensorProto.INT8


def test_the_script_checks_its_files(models: Models, tmp_path: Path) -> None:
    made = build_script(models.exported(), output=tmp_path / "folder", workspace=models.workspace)
    sums = (made.directory / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, name in (line.split("  ") for line in sums)}
    content = (made.directory / "model.onnx").read_bytes()
    assert digests["model.onnx"] == hashlib.sha256(content).hexdigest()
    (made.directory / "model.onnx").write_bytes(content + b"?")
    done, calls = run_script(made.directory, tmp_path)
    assert done.returncode != 0
    assert calls == []


def test_the_script_finds_its_folder(models: Models, tmp_path: Path) -> None:
    """By a link, from elsewhere, and where CDPATH has another of its name."""
    made = build_script(models.exported(), output=tmp_path / "-a 'folder'", workspace=models.workspace)
    (tmp_path / "cdpath" / "folder").mkdir(parents=True)
    made.directory.rename(tmp_path / "folder")
    (tmp_path / "link").symlink_to("folder/build.sh")
    for command in (("sh", "folder/build.sh"), ("./link",)):
        done, calls = run_script(tmp_path / "folder", tmp_path, command=command)
        assert (done.returncode, len(calls)) == (0, 1), done.stderr


@pytest.mark.parametrize("target", ["openvino", RTX])
def test_only_tensorrt_has_a_script(target: str, models: Models, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--emit-script means nothing"):
        build_script(models.exported(), target=target, output=tmp_path / "folder", workspace=models.workspace)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(models: Models, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        build_script(models.exported(), output=tmp_path, workspace=models.workspace)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
