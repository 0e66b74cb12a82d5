"""`--on ssh://` with QEMU before the program: an ARM64 device, and what is said of it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from support.emulated import TOOLS, emulator
from support.models import Models
from support.ssh_server import SSHServer

from convnext_edge import benchmark, validate
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.errors import TargetError
from convnext_edge.evaluation.records import read_records

pytestmark = [pytest.mark.programs(*TOOLS), pytest.mark.slow(seconds=40)]


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The value of `--runner`."""
    return shlex.join(map(str, emulator(tmp_path_factory.mktemp("emulated"))))


def test_answers_through_qemu_are_those_of_here_and_are_called_simulated(
    device: SSHServer,
    engine: Path,
    models: Models,
    emulated: str,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ONNXRuntime_ROOT")  # which is that of this machine: CMake downloads the other
    downloads = pytestconfig.cache.mkdir("embed")  # type: ignore[union-attr]
    monkeypatch.setenv("CONVNEXT_EDGE_DOWNLOADS", str(downloads))
    options = {"data": str(models.photos), "workspace": models.workspace}
    here = validate(engine, **options)  # type: ignore[arg-type]
    there = validate(engine, on=device.url, runner=emulated, **options)  # type: ignore[arg-type]
    assert there.device is not None
    assert (there.images, there.candidate_top1, there.agreement) == (40, here.candidate_top1, here.agreement)
    assert there.sqnr_db == pytest.approx(here.sqnr_db, abs=1)
    told = there.device
    assert (told.machine, told.cpu, told.emulated, told.runner) == ("aarch64", "Cortex-A76", True, emulated)
    assert "asimddp" in told.isa
    assert there.simulated
    assert "simulated" in there.summary()
    with pytest.raises(TargetError, match="simulated: qemu-aarch64"):
        benchmark(engine, on=device.url, runner=emulated, workspace=models.workspace)
    kept = [record for record in read_records(Workspace(models.workspace)) if record["result"].get("device")]
    assert {"name": "Cortex-A76", "isa": list(told.isa), "int8_saturates": False} in [r["cpu"] for r in kept]


@pytest.mark.executorch
def test_executorch_is_fetched_for_the_device_and_answers_there(
    device: SSHServer, models: Models, emulated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = Path(sys.executable).parent  # whose CMake is new enough
    monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
    engine = models.engine("executorch", models.quantized("executorch"))
    options = {"data": str(models.photos), "workspace": models.workspace, "limit": 4}
    here = validate(engine, **options)  # type: ignore[arg-type]
    there = validate(engine, on=device.url, runner=emulated, **options)  # type: ignore[arg-type]
    assert there.device is not None
    assert (there.images, there.device.machine, there.agreement) == (4, "aarch64", here.agreement)
    assert there.sqnr_db == pytest.approx(here.sqnr_db, abs=1)
