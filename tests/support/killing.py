"""Commands that are killed: at a file operation or at a moment, and what they leave behind.

Each command runs in a process that is forked from one that has imported everything, so that a kill costs
tenths of a second and not the seconds of the imports.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from support.models import CHECKPOINT

from convnext_edge.commands.predict import outputs
from convnext_edge.commands.predict.maps import is_ours

OURS = ".convnext-edge-"  # how the names of our temporary files begin
LIMIT = 120.0  # seconds, after which a command counts as hanging
APP = "app"  # the folder that `embed` writes, beside the workspace
DRAWN, SAVED = "drawn", "saved.safetensors"  # what `predict` writes there
CACHE = "torchinductor_"  # that PyTorch keeps among the temporary files, kills or not
SIGNALS = (signal.SIGINT, signal.SIGTERM)
OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree")


@dataclass
class Place:
    """A folder with a workspace in which every command has been run once, to copy and work in."""

    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "work"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def embedded(self) -> set[str]:
        """The names of what `embed` wrote."""
        app = self.folder / APP
        return {str(path.relative_to(app)) for path in app.rglob("*")}

    def copy(self, folder: Path) -> Place:
        # `embed` writes to a new folder only
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(APP))
        return Place(folder)


@dataclass
class Ended:
    """How a command ended, and what it said."""

    code: int  # exit code, negative for a signal
    said: str
    seconds: float
    operations: int = 0  # on files of the place
    hung: bool = False  # it was still there after LIMIT, and was killed then

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.said


@dataclass
class Kill:
    """When a process gets which signal."""

    number: int
    at_operation: int | None = None  # counted from 1
    after_seconds: float | None = None


@dataclass
class Findings:
    """What is wrong in a place after the next command; all empty where nothing is."""

    temporaries: list[str] = field(default_factory=list)
    unpaired: list[str] = field(default_factory=list)  # files without sidecar, sidecars without file
    mismatched: list[str] = field(default_factory=list)  # files against their sidecar

    def __bool__(self) -> bool:
        return bool(self.temporaries or self.unpaired or self.mismatched)


def commands(photos: Path) -> dict[str, list[str]]:
    """Return every command that uses the workspace, as short as it can be; each after those it needs."""
    calib = ["--calib", str(photos), "--samples", "4"]
    data = ["--data", str(photos), "--limit", "4"]
    lines = {
        "export": ["export", "--checkpoint", str(CHECKPOINT), "--resolution", "32"],
        "quantize": ["quantize", *calib, "--allow-slower"],
        "build openvino": ["build", "--target", "openvino"],
        "build onnxruntime": ["build", "--target", "onnxruntime"],
        "embed": ["embed", "--lang", "cpp", "-o", APP],
        "validate": ["validate", *data],
        "benchmark": ["benchmark", "--runs", "2", "--threads", "1"],
        "report": ["report"],
        "finetune": ["finetune", *calib, "--train", str(photos), "--steps", "2", "--batch", "4"],
        "sensitivity": ["sensitivity", *calib, "--runs", "1"],
        "compare": ["compare", *calib, *data, "--targets", "openvino", "--methods", "fp32", "--runs", "2"],
    }
    return {name: [*line, "--workspace", "work"] for name, line in lines.items()}


def run(
    place: Place, line: list[str], kill: Kill | None = None, *, change: Callable[[], object] = lambda: None
) -> Ended:
    """Run a command in a place, in a process of its own, and kill it where that is asked for.

    change: what that process does to itself before.
    """
    log = Path(tempfile.gettempdir()) / f"trust-{os.getpid()}.log"  # on another disk than the place may be
    counted = log.with_suffix(".counted")
    counted.unlink(missing_ok=True)
    began = time.perf_counter()
    # a signal that comes before the child is the command waits
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    child = os.fork()
    if not child:
        _become(place, line, kill, (log, counted), change)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    code, hung = _await(child, kill, began)
    operations = int(counted.read_text()) if counted.exists() else 0
    return Ended(code, log.read_text(errors="replace"), time.perf_counter() - began, operations, hung)


def inspect(place: Place) -> Findings:
    """Return what is wrong in the workspace, beside it, and in the place of temporary files."""
    left = [path.name for path in place.temporary.iterdir() if not path.name.startswith(CACHE)]
    left += [path.name for path in place.folder.iterdir() if path.name.startswith(OURS)]
    found = Findings(temporaries=left)
    known: set[str] = set()
    for sidecar in place.workspace.glob("*.json"):
        known |= _check(sidecar, found)
    for path in place.workspace.rglob("*"):
        if OURS in path.name or path.suffix == ".part":
            found.temporaries.append(str(path.relative_to(place.folder)))
        elif path.is_file() and path.parent == place.workspace and path.name not in known:
            found.unpaired.append(path.name)
    _check_predictions(place, found)
    return found


def _check_predictions(place: Place, found: Findings) -> None:
    """Look at what `predict` wrote: pictures and outputs that can be read, and nothing else."""
    for path in (place.folder / DRAWN).rglob("*"):
        if OURS in path.name:
            found.temporaries.append(str(path.relative_to(place.folder)))
        elif path.is_file() and not is_ours(path):
            found.mismatched.append(path.name)
    saved = place.folder / SAVED
    if saved.exists() and not outputs.is_ours(saved):
        found.mismatched.append(SAVED)


def _check(sidecar: Path, found: Findings) -> set[str]:
    """Compare a sidecar with its files; return the names that it accounts for."""
    files: dict[str, str] = json.loads(sidecar.read_text())["files"]
    for name, digest in files.items():
        path = sidecar.parent / name
        if not path.is_file():
            found.unpaired.append(name)
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            found.mismatched.append(name)
    return {sidecar.name, *files, "report.html"}


def _become(
    place: Place, line: list[str], kill: Kill | None, files: tuple[Path, Path], change: Callable[[], object]
) -> None:
    """Be the command from here on; never return."""
    log, counted = files
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.chdir(place.folder)
    tempfile.tempdir = str(place.temporary)
    code = 1
    try:
        from convnext_edge.cli import main, signals

        signals.listen()
        count = _watch(place.folder, kill)
        change()
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            main(line, prog_name="convnext-edge")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except KeyboardInterrupt:  # a signal that came before the command began
            code = 128 + signal.SIGINT
        with contextlib.suppress(OSError):  # where the process may no longer write
            counted.write_text(str(count()))
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch(folder: Path, kill: Kill | None) -> Callable[[], int]:
    """Count the operations on files below a folder, and send this process its signal at the one asked for."""
    count = 0
    inside = str(folder)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in OPERATIONS or not arguments:
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if not (path.removeprefix("./").startswith((inside, "work", APP, OURS))):
            return
        count += 1
        if kill is not None and count == kill.at_operation:
            os.kill(os.getpid(), kill.number)

    sys.addaudithook(hook)
    return lambda: count


def _await(child: int, kill: Kill | None, began: float) -> tuple[int, bool]:
    """Wait for the end of a process, kill it at its moment; return its exit code, and whether it hung."""
    pending = kill is not None and kill.after_seconds is not None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), time.perf_counter() - began > LIMIT
        passed = time.perf_counter() - began
        if pending and kill is not None and passed > (kill.after_seconds or 0):
            os.kill(child, kill.number)
            pending = False
        if passed > LIMIT:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


def make_place(folder: Path, workspace: Path | None) -> Place:
    """Make a place with an empty workspace, or with a copy of one."""
    place = Place(folder)
    place.temporary.mkdir(parents=True)
    if workspace is None:
        place.workspace.mkdir()
    else:
        shutil.copytree(workspace, place.workspace)
    return place
