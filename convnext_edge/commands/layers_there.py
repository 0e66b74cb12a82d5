"""The times of single layers on a device, for `sensitivity --on`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.embed.bundle import check_images
from convnext_edge.commands.on_device import write_model
from convnext_edge.devices.address import Where
from convnext_edge.devices.description import DeviceDescription
from convnext_edge.devices.session import DeviceSession, prepared
from convnext_edge.evaluation.layer_times import Times
from convnext_edge.progress import note
from convnext_edge.quantization.job import Job
from convnext_edge.targets.base import Images, Node, Target
from convnext_edge.targets.registry import find_target


class LayersThere:
    """A `Timer` of `evaluation.layer_times` whose files run on a device, as engines."""

    def __init__(self, where: Where, job: Job, workspace: Workspace, *, runs: int, threads: int) -> None:
        self.where = where
        self.job = job
        self.workspace = workspace
        self.runs = runs  # calls of the model in each session
        self.threads = threads
        self.device: DeviceDescription | None = None  # known when it has timed

    @contextmanager
    def __call__(self, files: Sequence[Path], image: Images) -> Iterator[Callable[[Path], Times | None]]:
        """Bring the files to the device, and yield what times one of them in a session of its own."""
        target = find_target(self.job.target)
        with temporary_folder() as scratch:
            folders = [self._engine(file, target, scratch) for file in files]
            runtime = target.package, target.version()
            ready = prepared(self.where, folders, runtime, self.workspace.programs, self.threads)
            with ready as device:
                yield lambda path: self._time(device.open(path.stem, time_layers=True), target, image)

    def _engine(self, file: Path, target: Target, scratch: Path) -> Path:
        """Build an engine of an ONNX file, and return the folder of it for the program."""
        described = replace(
            self.job.start.artifact.description,
            kind="engine",
            target=target.name,
            engine={"runtime": target.package, "version": target.version()},
        )
        path = scratch / f"{file.stem}{target.suffix}"
        engine = write_artifact(path, described, lambda made: target.build(file, made))
        check_images(engine)
        write_model(engine, scratch / file.stem)
        return scratch / file.stem

    def _time(self, session: DeviceSession, target: Target, image: Images) -> Times | None:
        """Return the milliseconds of each layer; None on what is no device."""
        with session:
            session.time(image, self.runs)
            nodes = [Node(node.name, node.kind, node.milliseconds) for node in session.layer_times()]
            session.goodbye()
        self.device = session.describe()
        if session.simulated:
            note(f"times of layers would be none of a device ({session.label})")
            return None
        return target.layers_of(nodes)
