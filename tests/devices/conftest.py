"""A device on loopback, an engine for it, and the program that answers there, each made once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.models import Models
from support.needs import missing
from support.ssh_server import SSHServer


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHServer]:
    for name in ("ssh", "ssh-keygen"):
        if shutil.which(name) is None:
            missing(f"needs {name} (apt install openssh-client)")
    server = SSHServer(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture
def device(
    ssh_server: SSHServer, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> Iterator[SSHServer]:
    """The server as it should be, with its `ssh` first on the PATH; nothing may be left there afterwards."""
    from support.embedded import onnxruntime_options

    monkeypatch.setenv("PATH", str(ssh_server.folder / "bin"), prepend=os.pathsep)
    (option,) = onnxruntime_options(pytestconfig.cache.mkdir("embed"))  # type: ignore[union-attr]
    monkeypatch.setenv("ONNXRuntime_ROOT", option.partition("=")[2])
    yield ssh_server
    assert ssh_server.left() == []
    ssh_server.remember()
    ssh_server.log_in_with("user")


@pytest.fixture(scope="session")
def engine(models: Models) -> Path:
    return models.engine("onnxruntime", models.quantized("onnxruntime"))
