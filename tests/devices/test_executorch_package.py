"""Where ExecuTorch for ARM comes from: a folder of the user's, or PyPI, and what is said without it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from convnext_edge.devices import executorch_package
from convnext_edge.devices.executorch_package import cmake_folder
from convnext_edge.errors import DeviceError


def test_a_package_that_the_user_names_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("executorch_DIR", "/opt/executorch/lib/cmake/executorch")
    assert cmake_folder("1.5.1", tmp_path) == Path("/opt/executorch/lib/cmake/executorch")


def test_a_package_that_cannot_be_fetched_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("executorch_DIR", raising=False)
    offline = [sys.executable, "-c", "import sys; sys.exit('no route to host')"]
    run = executorch_package.subprocess.run
    monkeypatch.setattr(
        executorch_package.subprocess, "run", lambda _command, **options: run(offline, **options)
    )
    with pytest.raises(DeviceError, match=r"ExecuTorch 1\.5\.1 for aarch64 .*: no route to host") as caught:
        cmake_folder("1.5.1", tmp_path)
    assert caught.value.hint is not None
    assert "executorch_DIR" in caught.value.hint
