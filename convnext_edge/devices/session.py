"""A session whose engine runs on a device: images go there as the engine takes them, outputs come back."""

from __future__ import annotations

import re
import shlex
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.cpu import MACHINES, Machine, parse_cpuinfo
from convnext_edge.devices.address import Where, parse_address
from convnext_edge.devices.building import build_there
from convnext_edge.devices.description import DeviceDescription, is_emulator, name_of
from convnext_edge.devices.device import Device
from convnext_edge.devices.frames import Conversation
from convnext_edge.devices.program import NAME, Program, find_program
from convnext_edge.devices.shapes import HelloShape, LayerShape, LayersShape, PassingShape, TimesShape
from convnext_edge.devices.shell import ADB, SSH
from convnext_edge.errors import DeviceError
from convnext_edge.progress import phase
from convnext_edge.targets.base import Images, Outputs, Session

RUNS = struct.Struct("<I")


@contextmanager
def connected(where: Where) -> Iterator[Device]:
    """Connect to a device, with a folder on it until the end."""
    address = parse_address(where.url)
    with temporary_folder() as scratch:
        shell = SSH(address, scratch / "ssh") if address.scheme == "ssh" else ADB(address)
        with Device(shell) as device:
            yield device


def machine_there(where: Where) -> Machine:
    """Connect to a device, and return the kind of machine that programs run on; raise DeviceError."""
    with connected(where) as device:
        return machine_of(device, where)


def machine_of(device: Device, where: Where) -> Machine:
    """Return the kind of machine that programs run on: QEMU's, or the device's own.

    Raises DeviceError for one that nothing can be built for.
    """
    emulated = re.match(r"(?:.*/)?qemu-([A-Za-z0-9_]+)", where.runner[0]) if where.runner else None
    name = emulated[1] if emulated else device.facts.machine
    found = MACHINES.get(name.lower())
    if found is None:
        raise DeviceError(
            f"{device.address} is a machine of kind {name!r}, which there is no program for",
            hint=f"It runs on {' and '.join(sorted(set(MACHINES.values())))}, with a system of 64 bits.",
        )
    return found


def check_libc(device: Device, program: Program) -> None:
    """Raise DeviceError where the C library of a device is older than what the program needs, or another."""
    facts = device.facts
    told = re.fullmatch(r"glibc (\d+)\.(\d+)\S*", facts.libc)
    major, minor = program.least_glibc()
    if told is None:
        raise DeviceError(
            f"{device.address} has no GNU C library (it says {facts.libc or facts.system or 'nothing'!r}),"
            f" and the program needs glibc {major}.{minor}",
            hint="Take a system with glibc, such as Debian, Raspberry Pi OS or Ubuntu.",
        )
    if (int(told[1]), int(told[2])) < (major, minor):
        raise DeviceError(
            f"{device.address} has {facts.libc}, and the program with its runtime needs {major}.{minor}",
            hint="Update the system there, or run this on a machine with an older C library: the program is"
            " compiled against that of this one.",
        )


@dataclass(frozen=True)
class Prepared:
    """A device that has the program, and models in folders beside it."""

    device: Device
    where: Where
    threads: int | None  # of a call; None for all CPUs there

    def open(self, model: str, *, time_layers: bool = False) -> DeviceSession:
        """Return a session with one of the models, when the one before has said goodbye."""
        words = [*self.where.runner, self.device.place(f"bin/{NAME}"), "--model", self.device.place(model)]
        words += [] if self.threads is None else ["--threads", str(self.threads)]
        self.device.start([*words, *(["--time-layers"] if time_layers else [])])
        return DeviceSession(self.device, self.where)


@contextmanager
def prepared(
    where: Where, models: Sequence[Path], runtime: tuple[str, str], programs: Path, threads: int | None
) -> Iterator[Prepared]:
    """Yield a device with the program and models.

    models: folders as `embed` writes them, with `convnext_edge.txt`, each of another name. runtime: its name
    and version. programs: where built ones are kept. threads: of a call; None for all CPUs there.
    Raises DeviceError, TargetError, UsageError.
    """
    with connected(where) as device:
        device.check_threads(threads)
        there = None if where.runner else partial(build_there, device)  # what is emulated has no compiler
        program = find_program(*runtime, machine_of(device, where), programs, there)
        if not where.runner:  # an emulator brings a C library of its own
            check_libc(device, program)
        size = program.bytes + sum(path.stat().st_size for model in models for path in model.iterdir())
        device.check_space(size)
        with phase(f"copying {size / 2**20:.0f} MiB to {where.url}"):
            device.upload(program.folder)
            for model in models:
                device.upload(model, model.name)
        yield Prepared(device, where, threads)


class DeviceSession(Session):
    """An engine on a device; what it answers there is what it would answer here."""

    runner = "the program on the device"

    def __init__(self, device: Device, where: Where) -> None:
        self.conversation = Conversation(device)
        self.where = where
        self.device = device
        with phase(f"loading the engine on {where.url}"):
            self.hello = self.conversation.hear_json(b"H", HelloShape)
        self._passing: PassingShape = self.hello
        self.simulated = is_emulator(list(where.runner), self.hello.machine, device.facts.machine)
        self.label = f"simulated: {shlex.join(where.runner)}" if self.simulated else ""

    def _run(self, images: Images) -> Outputs:
        shape, kind = tuple(self.hello.input_shape), self.hello.input_type
        if images.shape[1:] != shape or images.dtype != np.dtype(kind):
            raise ValueError(f"its images are {'x'.join(map(str, shape))} {kind}")
        most = self.hello.most_images
        parts = [self._ask(images[start : start + most]) for start in range(0, len(images), most)]
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))

    def _ask(self, images: Images) -> Outputs:
        self.conversation.tell(b"I", np.ascontiguousarray(images).tobytes())
        values = np.frombuffer(self.conversation.hear(b"O"), "<f4").reshape(len(images), -1)
        outputs, start = [], 0
        for output in self.hello.outputs:
            end = start + int(np.prod(output.shape))
            outputs.append(values[:, start:end].reshape(len(images), *output.shape).astype(np.float32))
            start = end
        return tuple(outputs)

    def time(self, images: Images, runs: int) -> TimesShape:
        """Return the milliseconds of calls, as the device itself measured them. images: one, (1, ...)."""
        self.run(images)
        with phase(f"timing on {self.where.url}"):
            self.conversation.tell(b"T", RUNS.pack(runs))
            found = self.conversation.hear_json(b"T", TimesShape)
        self._passing = found
        return found

    def layer_times(self) -> list[LayerShape]:
        """Return what the runtime there measured of each node, of a session that times them."""
        self.conversation.tell(b"L")
        return self.conversation.hear_json(b"L", LayersShape).layers

    def goodbye(self) -> None:
        """Let the program end, so that another may follow."""
        self.conversation.tell(b"Q")
        self.conversation.hear(b"Q")  # of the shell

    def describe(self) -> DeviceDescription:
        """Return what results say of the device, as of the last answer that told."""
        hello, now = self.hello, self._passing
        cpu = parse_cpuinfo(hello.cpuinfo)
        return DeviceDescription(
            url=self.where.url,
            name=self.device.facts.name,
            machine=hello.machine,
            cpu=name_of(cpu, hello.machine),
            isa=cpu.isa,
            int8_saturates=cpu.int8_saturates,
            kernel=hello.kernel,
            libc=hello.libc,
            governor=now.governor,
            clock_mhz=now.clock_mhz,
            max_clock_mhz=now.max_clock_mhz,
            temperature_c=now.temperature_c,
            runner=shlex.join(self.where.runner) or None,
            emulated=self.simulated,
        )
