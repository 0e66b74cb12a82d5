"""`--on adb:SERIAL` with a stub of adb, whose phone is this machine. On a phone it is unverified."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.models import Models
from support.places import TESTS
from support.ssh_server import SSHServer, wait_until

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.on_device import open_there
from convnext_edge.devices.address import Where
from convnext_edge.errors import DeviceError
from convnext_edge.evaluation.candidates import open_session

pytestmark = [pytest.mark.programs("cmake", "c++"), pytest.mark.slow]


@pytest.fixture
def phone(device: SSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the phone makes its folders. device: for what builds the program."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "phone").mkdir()
    shutil.copy2(TESTS / "fixtures" / "adb", tmp_path / "bin" / "adb")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("PHONE", "R58M123ABC")
    monkeypatch.setenv("PHONE_FOLDER", str(tmp_path / "phone"))
    return tmp_path / "phone"


def test_a_phone_answers_as_this_machine_and_nothing_is_left_there(
    phone: Path, engine: Path, models: Models, batch: dict[str, np.ndarray]
) -> None:
    artifact, images = open_artifact(engine), batch["float32"][:4]
    with (
        open_session(artifact, "onnxruntime", 1) as here,
        open_there(artifact, Where("adb:R58M123ABC"), Workspace(models.workspace), 1) as there,
    ):
        (folder,) = phone.iterdir()
        assert {path.name for path in folder.iterdir()} >= {"bin", "lib", "model"}
        np.testing.assert_allclose(there.run(images), here.run(images), atol=1e-4)
        assert there.describe().url == "adb:R58M123ABC"
    assert wait_until(lambda: not list(phone.iterdir()))


def test_a_phone_that_is_not_there_is_an_error_that_says_how_to_look(
    phone: Path, engine: Path, models: Models
) -> None:
    with (
        pytest.raises(DeviceError, match="device 'OTHER' not found") as raised,
        open_there(open_artifact(engine), Where("adb:OTHER"), Workspace(models.workspace), 1),
    ):
        pass
    assert "adb devices" in raised.value.hint
