"""Nothing is sent anywhere while a model is built and run, though OpenVINO would report its use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.models import Models

WATCHED = """
import sys

def watch(event, arguments):
    if event in ("os.fork", "socket.connect", "socket.getaddrinfo"):
        print(event, arguments)

sys.addaudithook(watch)
from convnext_edge import build, validate

built = build(sys.argv[1], target="openvino", output=sys.argv[2], workspace=sys.argv[3])
validate(built.engine, data=sys.argv[4], limit=2, workspace=sys.argv[3])
"""


@pytest.mark.slow
def test_a_build_and_a_run_in_openvino_start_no_process_and_open_no_connection(
    models: Models, tmp_path: object
) -> None:
    arguments = (models.quantized(), f"{tmp_path}/engine.xml", models.workspace, models.photos)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, arguments)],
        env={name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
