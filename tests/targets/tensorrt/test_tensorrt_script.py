"""build --emit-script: a folder that builds with trtexec on another machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from support.for_tensorrt import RTX, types
from support.models import RESOLUTION, Models

from convnext_edge import build_script
from convnext_edge.errors import UsageError

pytestmark = pytest.mark.usefixtures("no_gpu")


def test_the_script_builds_with_trtexec(models: Models, tmp_path: Path) -> None:
    model = models.quantized("tensorrt")
    made = build_script(model, output=tmp_path / "folder", max_batch=4, workspace=models.workspace)
    assert made.files == ("README.md", "SHA256SUMS", "build.sh", "model.onnx")
    done, arguments = run_script(made.directory, tmp_path)
    assert done.returncode == 0, done.stderr
    size = f"3x{RESOLUTION}x{RESOLUTION}"
    assert {
        "--onnx=model.onnx",
        "--saveEngine=model.engine",
        "--stronglyTyped",
        f"--minShapes=image:1x{size}",
        f"--maxShapes=image:4x{size}",
        "--verbose",
    } <= set(arguments)
    assert not {"--int8", "--fp16", "--best"} & set(arguments)
    assert types(onnx.load(made.directory / "model.onnx"))["head.weight"] == TensorProto.INT8


def test_the_script_checks_its_files(models: Models, tmp_path: Path) -> None:
    made = build_script(models.exported(), output=tmp_path / "folder", workspace=models.workspace)
    sums = (made.directory / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, name in (line.split("  ") for line in sums)}
    content = (made.directory / "model.onnx").read_bytes()
    assert digests["model.onnx"] == hashlib.sha256(content).hexdigest()
    (made.directory / "model.onnx").write_bytes(content + b"?")
    done, arguments = run_script(made.directory, tmp_path)
    assert done.returncode != 0
    assert arguments == []


def run_script(folder: Path, tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Runs build.sh with a trtexec that only writes down how it was called."""
    if sys.platform != "linux":
        pytest.skip("the script is for Linux")
    tools, said = tmp_path / "tools", tmp_path / "said"
    tools.mkdir()
    (tools / "trtexec").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{said}"\n')
    (tools / "trtexec").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    command = [str(folder / "build.sh"), "--verbose"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done, said.read_text().splitlines() if said.exists() else []


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
