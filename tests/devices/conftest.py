"""A device on loopback, an engine for it, and the program that answers there, each made once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.compiler_cache import variables
from support.models import Models
from support.needs import missing
from support.ssh_server import SSHServer

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.cpu import this_machine
from convnext_edge.devices.program import Program, find_program


@pytest.fixture(scope="session")
def ssh_server(
    tmp_path_factory: pytest.TempPathFactory, runtime: str, pytestconfig: pytest.Config
) -> Iterator[SSHServer]:
    for name in ("ssh", "ssh-keygen"):
        if shutil.which(name) is None:
            missing(f"needs {name} (apt install openssh-client)")
    ccache = variables(pytestconfig.cache.mkdir("ccache"))  # type: ignore[union-attr]
    server = SSHServer(tmp_path_factory.mktemp("sshd"), {"ONNXRuntime_ROOT": runtime, **ccache})
    yield server
    server.stop()


@pytest.fixture(scope="session")
def runtime(pytestconfig: pytest.Config) -> str:
    """The folder of ONNX Runtime's library and headers for this machine."""
    from support.embedded import onnxruntime_options

    (option,) = onnxruntime_options(pytestconfig.cache.mkdir("embed"))  # type: ignore[union-attr]
    return option.partition("=")[2]


@pytest.fixture
def device(ssh_server: SSHServer, runtime: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SSHServer]:
    """The server as it should be, with its `ssh` first on the PATH; nothing may be left there afterwards."""
    monkeypatch.setenv("PATH", str(ssh_server.folder / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("ONNXRuntime_ROOT", runtime)
    yield ssh_server
    assert ssh_server.left() == []
    ssh_server.remember()
    ssh_server.log_in_with("user")


@pytest.fixture(scope="session")
def engine(models: Models) -> Path:
    return models.engine("onnxruntime", models.quantized("onnxruntime"))


@pytest.fixture(scope="session")
def program(engine: Path, models: Models, runtime: str) -> Program:
    """The program for this machine, which other tests find in the workspace."""
    machine, described = this_machine(), open_artifact(engine).description
    assert machine is not None
    assert described.engine is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONNXRuntime_ROOT", runtime)
        return find_program(
            "onnxruntime", described.engine["version"], machine, models.workspace / "programs"
        )
