"""The peak memory of a session, measured in a process that does nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.sidecar import read_sidecar
from convnext_edge.errors import ConvNeXtEdgeError, TargetError
from convnext_edge.images.noise import noise
from convnext_edge.progress import phase
from convnext_edge.targets.registry import find_target

CALLS = 3  # the first call allocates memory, the others show whether more is needed


@phase("measuring memory in a process of its own")
def peak_rss(artifact: Artifact, target: str, *, batch: int, threads: int, streams: int = 1) -> int | None:
    """Return the peak of physical memory in bytes, with the runtime and Python (about 50 MB) included.

    streams: calls in flight at a time. None where the system does not report it (Windows). Raises TargetError
    where the session fails.
    """
    if sys.platform == "win32":
        return None
    arguments = [str(artifact.path.absolute()), target, str(batch), str(threads), str(streams)]
    done = subprocess.run(
        [sys.executable, "-m", "convnext_edge.evaluation.memory", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TargetError(f"measuring the memory of {artifact.path} failed: {done.stderr.strip()}")
    return int(done.stdout.split()[-1])


def _measure(path: Path, target: str, batch: int, threads: int, streams: int) -> int:
    artifact = read_sidecar(path)
    described = artifact.description
    images = noise(described.preprocessing.shape, described.input_type, batch=batch)
    if streams == 1:
        with find_target(target).open_session(artifact, threads=threads) as session:
            for _ in range(CALLS):
                session.run(images)
    else:
        with find_target(target).open_streams(artifact, streams=streams, threads=threads) as opened:
            for _ in range(CALLS):
                opened.keep_busy(images, 0.0)
    return peak_of_this_process()


def peak_of_this_process() -> int:
    """Return the peak of this process's physical memory, in bytes.

    Linux's getrusage would count the parent's peak too, which a process keeps after fork and exec.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024  # kibibytes
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    model, name, *counts = sys.argv[1:]
    try:
        print(_measure(Path(model), name, *map(int, counts)))  # noqa: T201  read by peak_rss
    except ConvNeXtEdgeError as error:
        sys.exit(str(error))
