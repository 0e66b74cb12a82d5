"""What commands do with `--on`: an engine goes to the device as `embed` writes it, and is asked there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.embed.bundle import check_images, labelled, runtime_of, write_bundle
from convnext_edge.cpu import MACHINES, parse_cpuinfo
from convnext_edge.devices.address import Where
from convnext_edge.devices.description import DeviceDescription
from convnext_edge.devices.session import DeviceSession, prepared
from convnext_edge.errors import DeviceError, TargetError
from convnext_edge.evaluation.load import Load
from convnext_edge.evaluation.measured import Measured
from convnext_edge.images.noise import noise
from convnext_edge.progress import note
from convnext_edge.targets.base import Session
from convnext_edge.targets.kernels import kernels_of
from convnext_edge.targets.registry import find_target


@contextmanager
def open_there(
    engine: Artifact, where: Where, workspace: Workspace, threads: int | None = None
) -> Iterator[DeviceSession]:
    """Yield a session with an engine on a device; raise DeviceError, TargetError, UsageError."""
    check_images(engine)
    recorded = engine.description.engine or {}
    runtime = runtime_of(engine.description), str(recorded.get("version", "unknown"))
    with temporary_folder() as scratch:
        write_model(engine, scratch / "model")
        ready = prepared(where, [scratch / "model"], runtime, workspace.programs, threads)
        with ready as device, device.open("model") as session:
            if session.hello.sha256 != engine.sha256:
                raise DeviceError(
                    f"the program on {where.url} has loaded {session.hello.engine} of another digest",
                    hint="Run it again.",
                )
            advise(engine, session)
            yield session


def write_model(engine: Artifact, folder: Path) -> None:
    """Write the folder that the program takes. Numbers will do for names of classes: nobody reads them."""
    unnamed = 0 if engine.description.classes else labelled(engine)
    numbers = folder.with_name(f"{folder.name}-labels.txt") if unnamed else None
    if numbers is not None:
        numbers.write_text("".join(f"{number}\n" for number in range(unnamed)), encoding="utf-8")
    described = engine.description
    write_bundle(engine, numbers, folder, kernels_of(described, find_target(str(described.target))))


def device_of(session: Session) -> DeviceDescription | None:
    """Return what results say of the device that a session runs on; None of one that runs here."""
    return session.describe() if isinstance(session, DeviceSession) else None


def advise(engine: Artifact, session: DeviceSession) -> None:
    """Say so where INT8 layers are multiplied in float on the device's kind of machine."""
    described = engine.description
    found = kernels_of(described, find_target(str(described.target)), MACHINES.get(session.hello.machine))
    if found.advice:
        note(found.advice)


def time_there(
    engine: Artifact, where: Where, workspace: Workspace, *, threads: int | None, runs: int
) -> Measured:
    """Time single calls of one image on a device; raise TargetError where it is simulated."""
    described = engine.description
    images = noise(described.preprocessing.shape, described.input_type, batch=1)
    with open_there(engine, where, workspace, threads) as session:
        if session.simulated:
            raise TargetError(
                f"times of {where.url} would be none of a device ({session.label})",
                hint="Leave --runner out to time on the device; validate works with it.",
            )
        hello = session.hello
        found = session.time(images, runs)
        return Measured(
            candidate=found.milliseconds,
            load=Load(hello.cpus, found.other_cpus),
            cpu=parse_cpuinfo(hello.cpuinfo),
            threads=hello.threads,
            peak_rss_bytes=None if found.peak_rss_bytes is None else int(found.peak_rss_bytes),
            runtime_version=hello.runtime_version,
            device=session.describe(),
        )
