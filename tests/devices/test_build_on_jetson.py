"""`build --target tensorrt --on ssh://` with a stand-in for trtexec. On a Jetson it is unverified."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.models import Models
from support.places import TESTS
from support.ssh_server import SSHServer, wait_until

from convnext_edge import build
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import TargetError, UsageError

pytestmark = pytest.mark.slow

HELD = """
import signal
import sys
from pathlib import Path
from convnext_edge import build

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
build(sys.argv[1], target="tensorrt", max_batch=4, on=sys.argv[2], output=sys.argv[3], workspace=sys.argv[4])
"""


@pytest.fixture
def jetson(device: SSHServer) -> Iterator[SSHServer]:
    shutil.copy2(TESTS / "fixtures" / "trtexec", device.programs / "trtexec")
    yield device
    (device.programs / "trtexec").unlink(missing_ok=True)


def test_engine_log_and_latency_come_home(jetson: SSHServer, models: Models, tmp_path: Path) -> None:
    model = models.quantized("tensorrt")
    output = tmp_path / "made.engine"
    made = build(model, on=jetson.url, max_batch=4, output=output, workspace=models.workspace)
    assert (made.engine, made.target, made.runtime, made.runtime_version) == (
        output,
        "tensorrt",
        "tensorrt",
        "10.3.0",
    )
    assert made.latency_ms == {"min": 1.1, "p50": 1.25, "p90": 1.5, "p99": 2.0}
    assert made.log is not None
    assert "Selected Device: Orin" in made.log.read_text(encoding="utf-8")
    described = open_artifact(output).description
    assert described.engine is not None
    assert described.engine["compute_capabilities"] == ["8.7"]
    assert (described.engine["max_batch"], described.engine["built_on"]) == (4, jetson.url)
    assert len(output.read_text().split()[0]) == 64  # what the stand-in makes of the model
    assert jetson.left() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "openvino"}, "build --on means nothing to target openvino"),
        ({"emit_script": True}, "--emit-script means nothing with --on"),
        ({"machine": "aarch64"}, "--for means nothing with --on"),
        ({"timing_cache": "cache"}, "--timing-cache means nothing with --on"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    models: Models, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        build(models.exported(), on="ssh://jetson", workspace=models.workspace, **options)  # type: ignore[call-overload]


def test_a_build_that_fails_shows_the_end_of_the_log(
    jetson: SSHServer, models: Models, tmp_path: Path
) -> None:
    """The stand-in takes no more than 4 images."""
    with pytest.raises(TargetError, match=r"failed with exit code 1: .*Unknown option: --maxShapes=image:5x"):
        build(
            models.exported(),
            target="tensorrt",
            on=jetson.url,
            max_batch=5,
            output=tmp_path / "made.engine",
            workspace=models.workspace,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_device_without_trtexec_says_so(jetson: SSHServer, models: Models, tmp_path: Path) -> None:
    (jetson.programs / "trtexec").unlink()
    with pytest.raises(TargetError, match="trtexec is not on the PATH") as raised:
        build(
            models.exported(),
            target="tensorrt",
            on=jetson.url,
            output=tmp_path / "made.engine",
            workspace=models.workspace,
        )
    assert "JetPack" in raised.value.hint


def test_a_build_that_is_stopped_ends_there_too(jetson: SSHServer, models: Models, tmp_path: Path) -> None:
    slow = (jetson.programs / "trtexec").read_text().replace('[ -z "$SLOW" ] || ', "")
    (jetson.programs / "trtexec").write_text(slow)
    words = [sys.executable, "-c", HELD, models.exported(), jetson.url, tmp_path / "made.engine", tmp_path]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert wait_until(lambda: bool(sleeping(jetson.temporary)), seconds=90)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            process.kill()
    assert jetson.left() == []
    assert sleeping(jetson.temporary) == []


def sleeping(place: Path) -> list[str]:
    """The processes that work below a folder."""
    found = []
    for process in os.listdir("/proc"):  # noqa: PTH208
        try:
            if process.isdecimal() and str(place) in os.readlink(f"/proc/{process}/cwd"):  # noqa: PTH115
                found.append(Path(f"/proc/{process}/comm").read_text().strip())
        except OSError:
            continue  # it is gone, or another user's
    return [name for name in found if name == "sleep"]
