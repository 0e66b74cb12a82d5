"""`--on ssh://` against a real server on loopback: the same answers, and nothing is left there."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.models import Models
from support.ssh_server import SSHServer

from convnext_edge import benchmark, compare, report, sensitivity, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.on_device import open_there
from convnext_edge.cpu import read_cpu
from convnext_edge.devices import program as program_module
from convnext_edge.devices import session
from convnext_edge.devices.address import Where
from convnext_edge.devices.program import Program
from convnext_edge.errors import ArtifactError, DeviceError, TargetError, UsageError
from convnext_edge.evaluation.candidates import open_session

pytestmark = [pytest.mark.programs("cmake", "c++"), pytest.mark.slow(seconds=40)]

HELD = """
import signal, sys, time
from pathlib import Path
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.on_device import open_there
from convnext_edge.devices.address import Where

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
engine, workspace, url = sys.argv[1:]
with open_there(open_artifact(Path(engine)), Where(url), Workspace(Path(workspace)), 1):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_answers_are_those_of_the_engine_here(
    device: SSHServer, engine: Path, models: Models, batch: dict[str, np.ndarray]
) -> None:
    artifact, images = open_artifact(engine), batch["float32"]
    with (
        open_session(artifact, "onnxruntime", 1) as here,
        open_there(artifact, Where(device.url), Workspace(models.workspace), 1) as there,
    ):
        expected, found = here.run(images), there.run(images)
    assert len(found) == 40
    assert (found.argmax(1) == expected.argmax(1)).all()
    np.testing.assert_allclose(found, expected, atol=1e-4)  # on one CPU, by one library


def test_validate_finds_what_it_finds_here_and_names_the_device(
    device: SSHServer, engine: Path, models: Models
) -> None:
    options: dict[str, Any] = {"data": str(models.photos), "limit": 12, "workspace": models.workspace}
    here, there = validate(engine, **options), validate(engine, on=device.url, **options)
    assert there.device is not None
    assert (there.images, there.agreement, there.candidate_top1) == (12, here.agreement, here.candidate_top1)
    assert there.sqnr_db == pytest.approx(here.sqnr_db, abs=0.1)
    assert (there.simulated, there.label, here.device) == (False, "", None)
    told = there.device
    assert (told.url, told.cpu, told.isa) == (device.url, read_cpu().name, read_cpu().isa)
    assert told.kernel == " ".join(subprocess.check_output(["uname", "-sr"], text=True).split())
    assert device.url in there.summary().replace("\n", "")


def test_benchmark_times_there_and_keeps_the_result_beside_that_of_here(
    device: SSHServer, engine: Path, models: Models
) -> None:
    there = benchmark(engine, on=device.url, runs=5, threads=1, workspace=models.workspace)
    here = benchmark(engine, runs=5, threads=1, workspace=models.workspace)
    assert there.device is not None
    assert 0 < there.candidate_ms.min <= there.candidate_ms.p50 <= there.candidate_ms.p99
    assert (there.reference_ms, there.speedup, there.speedup_ci95) == (None, None, None)
    assert here.speedup is not None
    assert there.peak_rss_bytes is not None
    assert 2**20 < there.peak_rss_bytes < here.peak_rss_bytes  # type: ignore[operator]  there is no Python there
    page = report(workspace=models.workspace)
    timed = [row for row in page.rows if row["file"] == engine.name and row["candidate_ms"] is not None]
    assert {(row["device"] or {}).get("url") for row in timed} == {None, device.url}
    assert [row["speedup"] is None for row in timed] == [bool(row["device"]) for row in timed]
    assert device.url in page.html.read_text(encoding="utf-8")


def test_compare_makes_engines_for_the_device_and_runs_them_there(device: SSHServer, models: Models) -> None:
    photos = str(models.photos)
    found = compare(
        models.exported(),
        calib=photos,
        samples=8,
        data=photos,
        limit=8,
        targets=["onnxruntime", "torch"],
        methods=["fp32"],
        on=device.url,
        runs=3,
        workspace=models.workspace,
    )
    (row,), (refused,) = found.rows, found.refused
    assert (row["device"]["url"], row["images"], row["agreement"]) == (device.url, 8, 1.0)
    assert row["candidate_ms"]["p50"] > 0
    assert refused.target == "torch"
    assert "openvino, onnxruntime, executorch" in refused.reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch": 2}, "--batch 2 means nothing with --on"),
        ({"min_speedup": 2.0}, "--min-speedup means nothing with --on"),
        ({"on": "ftp://pi"}, "no address of a device"),
        ({"on": None, "runner": "qemu-aarch64"}, "--runner means nothing without --on"),
        ({"runner": "'"}, "is no command"),
        ({"threads": 1000}, "more than the"),
    ],
)
def test_options_that_make_no_sense_on_a_device_are_refused(
    device: SSHServer, engine: Path, models: Models, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        benchmark(engine, **{"on": device.url, "workspace": models.workspace, **options})


def test_a_device_takes_engines_alone(device: SSHServer, models: Models) -> None:
    with pytest.raises(ArtifactError, match="is no engine"):
        benchmark(models.quantized("onnxruntime"), on=device.url, workspace=models.workspace)


def open_and_run(device: SSHServer, engine: Path, models: Models, *, runner: tuple[str, ...] = ()) -> None:
    where = Where(device.url, runner)
    artifact = open_artifact(engine)
    with open_there(artifact, where, Workspace(models.workspace), 1) as there:
        there.run(np.zeros((1, *there.hello.input_shape), np.float32))


def test_a_connection_that_drops_is_an_error_and_leaves_nothing(
    device: SSHServer, engine: Path, models: Models
) -> None:
    images, artifact = np.zeros((8, 3, 64, 64), np.float32), open_artifact(engine)
    with open_there(artifact, Where(device.url), Workspace(models.workspace), 1) as there:
        there.run(images)
        assert len(list(device.temporary.iterdir())) == 1
        device.drop()
        with pytest.raises(DeviceError, match=r"the connection to ssh://.* is lost") as raised:
            there.run(images)
    assert "removes" in raised.value.hint
    assert device.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_killed_leaves_nothing_there(
    device: SSHServer, engine: Path, models: Models, number: signal.Signals
) -> None:
    words = [sys.executable, "-c", HELD, engine, models.workspace, device.url]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert len(list(device.temporary.iterdir())) == 1
        process.send_signal(number)
        try:
            process.wait(60)
        finally:
            process.kill()
    assert device.left() == []


Spoil = Callable[[SSHServer, pytest.MonkeyPatch], object]
FAULTS: dict[str, tuple[Spoil, str, str]] = {
    "nobody answers": (lambda device, patch: patch.setattr(device, "port", 1), "is not reachable", "by hand"),
    "a key that it does not know": (
        lambda device, patch: device.log_in_with("stranger"),
        "does not let ssh log in",
        "ssh-copy-id",
    ),
    "a host key that ssh does not know": (lambda device, patch: device.forget(), "host key", "fingerprint"),
    "another host key": (
        lambda device, patch: device.take_for_another(),
        "another host key than the one",
        "ssh-keygen -R",
    ),
    "no space": (
        lambda device, patch: patch.setattr(Program, "bytes", 2**60),
        "too little space",
        "TMPDIR",
    ),
    "an old C library": (
        lambda device, patch: patch.setattr(Program, "least_glibc", lambda self: (2, 99)),
        r"has glibc 2\.\d+, and the program.* needs 2\.99",
        "Update",
    ),
    "another kind of machine": (
        lambda device, patch: patch.setattr(session, "MACHINES", {"riscv64": "aarch64"}),
        "of kind '(x86_64|aarch64)', which there is no program for",
        "64 bits",
    ),
    "no ssh": (lambda device, patch: patch.setenv("PATH", "/nowhere"), "needs ssh, which is not", "Install"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_device_is_said_with_what_to_do(
    device: SSHServer, engine: Path, models: Models, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    spoil, what, hint = FAULTS[fault]
    with monkeypatch.context() as patch:
        spoil(device, patch)
        with pytest.raises(DeviceError, match=what) as raised:
            open_and_run(device, engine, models)
    assert hint in raised.value.hint


def test_a_program_that_cannot_be_built_says_why(
    device: SSHServer, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONNXRuntime_ROOT", str(tmp_path / "nothing"))
    with (
        pytest.raises(DeviceError, match=r"cannot be built: .*-DONNXRuntime_ROOT=DIR"),
        open_there(open_artifact(engine), Where(device.url), Workspace(tmp_path), 1),
    ):
        pass
    assert list(tmp_path.rglob("serve")) == []


def test_a_program_is_compiled_there_where_no_compiler_is_here(
    device: SSHServer, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "compiles", lambda machine: False)
    with open_there(open_artifact(engine), Where(device.url), Workspace(tmp_path), 1) as there:
        assert there.run(np.zeros((1, *there.hello.input_shape), np.float32)).shape == (1, 10)
    (kept,) = (tmp_path / "programs").iterdir()  # for the next time
    assert {path.relative_to(kept).parts[0] for path in kept.rglob("*") if path.is_file()} == {"bin", "lib"}


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("echo no library >&2; exit 127", "with exit code 127"),
        ("echo no library >&2; exit 255", "with exit code 254"),  # which is not ssh's own
        ("echo no library >&2; exit 0", "with exit code 0, and did not answer"),
        ("echo no library >&2; kill -SEGV $$", "by SIGSEGV"),
    ],
)
def test_a_program_that_ends_is_an_error_with_its_last_words(
    device: SSHServer, engine: Path, models: Models, script: str, how: str
) -> None:
    with pytest.raises(TargetError, match=f"ended {how}: (?s:.*)no library"):
        open_and_run(device, engine, models, runner=("sh", "-c", script))


def test_an_engine_that_the_runtime_refuses_is_an_error_of_the_runtime(
    device: SSHServer, engine: Path, models: Models, tmp_path: Path
) -> None:
    spoil = 'for file in model/*.onnx; do echo x >> "$file"; done; exec "$@"'
    with pytest.raises(TargetError, match=f"^{device.url}: .* does not match its sidecar"):
        open_and_run(device, engine, models, runner=("sh", "-c", spoil, "sh"))


def test_a_login_that_prints_something_is_listened_past(
    device: SSHServer, engine: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = device.folder / "authorized"
    with monkeypatch.context():
        plain = keys.read_text()
        keys.write_text(f'command="echo Welcome; eval \\"$SSH_ORIGINAL_COMMAND\\"" {plain}')
        try:
            open_and_run(device, engine, models)
        finally:
            keys.write_text(plain)


@pytest.mark.programs("readelf")
def test_the_program_says_which_c_library_it_needs(program: Program) -> None:
    """As readelf of binutils reads it."""
    files = [path for path in program.folder.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {"bin", "lib"}
    told = subprocess.check_output(["readelf", "--version-info", "--wide", *files], text=True)
    needed = [tuple(map(int, word[6:].split("."))) for word in told.split() if word[:6] == "GLIBC_"]
    assert program.least_glibc() == max(version for version in needed if len(version) == 2)


def test_layers_are_timed_there_by_the_names_that_they_have_here(device: SSHServer, models: Models) -> None:
    options: dict[str, Any] = {"calib": str(models.photos), "samples": 2, "workspace": models.workspace}
    found = sensitivity(models.exported(), target="onnxruntime", on=device.url, runs=2, **options)
    assert found.device is not None
    assert found.device.url == device.url
    timed = [layer.name for layer in found.layers if layer.latency_saved_ms is not None]
    assert len(timed) == len(found.layers) > 10
    assert "timed on" in found.summary()
