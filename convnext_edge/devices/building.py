"""Building the program on the device itself, where this machine has no compiler for it."""

from __future__ import annotations

import io
import shlex
import tarfile
from pathlib import Path
from textwrap import shorten

from convnext_edge.devices.device import Device
from convnext_edge.errors import DeviceError
from convnext_edge.progress import note, phase

LONGEST = 1200  # characters of CMake's message that are shown
MISSING = 127  # exit code of a shell that finds no program


def build_there(device: Device, source: Path, options: list[str]) -> Path:
    """Compile sources on a device, and return a folder beside them with what was installed there.

    options: of CMake. Raises DeviceError.
    """
    note(f"no compiler here makes programs for {device.address}: compiling there")
    with phase(f"compiling on {device.address}"):
        device.upload(source, "source")
        configure = shlex.join(["cmake", "-S", "source", "-B", "build", *options])
        _run(
            device,
            f"cd {shlex.quote(device.facts.folder)} && export TMPDIR=$PWD && exec 2>&1 && {configure}"
            " && cmake --build build && cmake --install build --prefix installed",
        )
        files = device.run(f"tar -cf - -C {shlex.quote(device.place('installed'))} bin lib")
        device.run(f"cd {shlex.quote(device.facts.folder)} && rm -rf source build installed")
    installed = source.with_name("installed")
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(installed, filter="data")
    return installed


def _run(device: Device, script: str) -> None:
    done = device.shell.run(script)
    if done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        lost = device.shell.explain(said, done.returncode)
        shown = shorten(said[max(said.find("CMake Error"), 0) :], LONGEST, placeholder=" …")
        raise lost or DeviceError(
            f"the program cannot be compiled on {device.address}: {shown}",
            hint="It takes cmake and g++ there; or a compiler for it here (for ARM64 g++-aarch64-linux-gnu).",
        )
