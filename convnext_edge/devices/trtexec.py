"""Building with `trtexec` on a Jetson: the folder of `build --emit-script` goes there, the engine back."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.devices.address import Where
from convnext_edge.devices.device import Device
from convnext_edge.devices.session import connected
from convnext_edge.errors import DeviceError, TargetError
from convnext_edge.progress import phase
from convnext_edge.targets.tensorrt.script import ENGINE, SCRIPT

FOLDER = "script"  # beside nothing else
ENDED = "convnext-edge ended"
# The work has a session of its own, which is ended when nobody waits for it any more: trtexec reads no input.
WATCHED = 'setsid sh -c "$1" & job=$!; cat >/dev/null; kill -TERM "-$job" 2>/dev/null; wait "$job"'
LAST_LINES = 5  # of the log that an error shows

# How trtexec writes what is read of its log
VERSION = re.compile(r"TensorRT version: (\d+\.\d+\.\d+(?:\.\d+)?)")
CAPABILITY = re.compile(r"Compute Capability: (\d+\.\d+)")
DEVICE = re.compile(r"Selected Device: (.+)")
FACTS = (VERSION, CAPABILITY, DEVICE)
LATENCY = re.compile(r"\bLatency: (min = .*)")
FIGURE = re.compile(r"(min|median|percentile\((\d+)%\)) = ([0-9.]+) ms")


@dataclass(frozen=True)
class BuiltThere:
    """What came back from the device."""

    engine: bytes
    log: str
    version: str | None  # of TensorRT; None where the log does not tell
    compute_capability: str | None
    gpu: str | None
    latency_ms: dict[str, float]  # of one image by trtexec: p50, p90, p99, min; empty where it does not tell


def build_there(where: Where, folder: Path, shape: tuple[int, int, int], input_name: str) -> BuiltThere:
    """Run the script of a folder on a device; raise DeviceError, or TargetError where trtexec fails.

    shape: channels, H, W of an image, by which the engine is timed.
    """
    size = "x".join(map(str, shape))
    timing = ["trtexec", f"--loadEngine={ENGINE}", f"--shapes={input_name}:1x{size}"]
    inner = (
        f'cd {FOLDER} && PATH="$PATH:/usr/src/tensorrt/bin" && ./{SCRIPT} 2>&1 && {shlex.join(timing)} 2>&1;'
        f' code=$?; echo; echo "{ENDED} $code"'
    )
    with connected(where) as device:
        device.check_space(2 * sum(path.stat().st_size for path in folder.iterdir()))
        with phase(f"copying the model to {where.url}"):
            device.upload(folder, FOLDER)
        with phase(f"building with trtexec on {where.url}"):
            device.start(["sh", "-c", WATCHED, "sh", inner])
            log = read_log(device)
        with phase(f"fetching the engine from {where.url}"):
            engine = device.run(f"cat {shlex.quote(device.place(f'{FOLDER}/{ENGINE}'))}")
    version, capability, gpu = (found and found[1].strip() for found in (p.search(log) for p in FACTS))
    return BuiltThere(engine, log, version, capability, gpu, latency_of(log))


def read_log(device: Device) -> str:
    """Return what the script prints until it has ended; raise where it failed."""
    lines: list[str] = []
    for raw in device.output:
        line = raw.decode("utf-8", "replace").rstrip()
        if line.startswith(ENDED):
            code = int(line.removeprefix(ENDED))
            break
        lines.append(line)
    else:
        code = device.ended()
        raise device.shell.explain(device.words, code) or DeviceError(
            f"the build on {device.address} ended early: {device.words or f'exit code {code}'}"
        )
    if code:
        shown = " / ".join([line for line in lines if line][-LAST_LINES:])
        raise TargetError(
            f"the build on {device.address} failed with exit code {code}: {shown}",
            hint="trtexec comes with JetPack, in /usr/src/tensorrt/bin; TensorRT must be 10.8 or later.",
        )
    return "\n".join(lines).strip() + "\n"


def latency_of(log: str) -> dict[str, float]:
    """Return the latencies that trtexec sums up at its end."""
    summed = LATENCY.findall(log)
    if not summed:
        return {}
    names = {"min": "min", "median": "p50", "90": "p90", "99": "p99"}
    figures = {percent or name: float(value) for name, percent, value in FIGURE.findall(summed[-1])}
    return {names[key]: value for key, value in figures.items() if key in names}
