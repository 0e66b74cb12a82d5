"""What the tests of TensorRT share: what is installed here, GPUs that are not, and types of a graph."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto

from convnext_edge.targets.tensorrt import target as tensorrt
from convnext_edge.targets.tensorrt.cuda import Gpu, NoGpu

HERE = util.find_spec("tensorrt_rtx") is not None
RTX = "tensorrt-rtx"
ADA = Gpu("some RTX 4090", "8.9")


def use_gpu(monkeypatch: pytest.MonkeyPatch, gpu: Gpu | NoGpu) -> None:
    """Let the target find this GPU, or none."""
    monkeypatch.setattr(tensorrt, "find_gpu", lambda: gpu)


def types(model: ModelProto) -> dict[str, int]:
    """Element type of every value."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*inferred.input, *inferred.output, *inferred.value_info]
    constants = {tensor.name: tensor.data_type for tensor in inferred.initializer}
    return constants | {value.name: value.type.tensor_type.elem_type for value in values}


TRTEXEC = """#!/bin/sh
echo "$*" >>"{said}"
for word; do
    case "$word" in
    --onnx=*) model="${{word#*=}}" ;;
    --saveEngine=*) engine="${{word#*=}}" ;;
    esac
done
sha256sum <"$model" >"$engine"
[ "$model" != "{broken}" ]
"""


def run_script(
    folder: Path, tmp_path: Path, *, broken: str = "", command: tuple[str, ...] = ()
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Runs build.sh with a stand-in for trtexec; returns how that was called, too.

    An engine of its making is the digest of the model. broken: the model that it fails with, at the end.
    command: runs the script in place of its path.
    """
    if sys.platform != "linux":
        pytest.skip("the script is for Linux")
    tools, said = tmp_path / "tools", tmp_path / "said"
    tools.mkdir(exist_ok=True)
    said.write_text("")
    (tools / "trtexec").write_text(TRTEXEC.format(said=said, broken=broken))
    (tools / "trtexec").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CDPATH": str(tmp_path / "cdpath")}
    words = [*(command or (str(folder / "build.sh"),)), "--verbose"]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    return done, [line.split() for line in said.read_text().splitlines()]
