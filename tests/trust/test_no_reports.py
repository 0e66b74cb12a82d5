"""Nothing is sent anywhere while a model is built and run, though the runtimes would report their use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.models import Models

WATCHED = """
import sys

WATCHED = ["os.fork", "socket.connect", "socket.getaddrinfo"]

def watch(event, arguments):
    if event in WATCHED:
        print(event, arguments)

sys.addaudithook(watch)
from convnext_edge import build, validate

built = build(sys.argv[1], target="openvino", output=sys.argv[2], workspace=sys.argv[3])
validate(built.engine, data=sys.argv[4], limit=2, workspace=sys.argv[3])
validate(sys.argv[1], data=sys.argv[4], limit=2, target="onnxruntime", workspace=sys.argv[3])
WATCHED.append("os.putenv")  # once the runtimes are loaded, nothing need be told to them
validate(built.engine, data=sys.argv[4], limit=1, workspace=sys.argv[3])
"""


@pytest.mark.slow
def test_a_build_and_runs_start_no_process_and_open_no_connection(models: Models, tmp_path: Path) -> None:
    arguments = (models.quantized(), f"{tmp_path}/engine.xml", models.workspace, models.photos)
    here = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI")}
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, arguments)],
        env={**here, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not (temporary / ".ses").exists()  # the session of ONNX Runtime's reports
