"""Peak memory of a session, measured in a process that does nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.sidecar import read_sidecar
from convnext_edge.errors import ConvNeXtEdgeError, TargetError
from convnext_edge.images.noise import noise
from convnext_edge.targets.registry import find_target

CALLS = 3  # the first allocates, the others show whether it stays at that


def peak_rss(artifact: Artifact, target: str, *, batch: int, threads: int) -> int | None:
    """Bytes of physical memory at the peak, the runtime and Python (some 50 MB) included.

    None where the system does not tell (Windows).
    """
    if sys.platform == "win32":
        return None
    arguments = [str(artifact.path.absolute()), target, str(batch), str(threads)]
    done = subprocess.run(
        [sys.executable, "-m", "convnext_edge.evaluation.memory", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TargetError(f"measuring the memory of {artifact.path} failed: {done.stderr.strip()}")
    return int(done.stdout.split()[-1])


def _measure(path: Path, target: str, batch: int, threads: int) -> int:
    artifact = read_sidecar(path)
    described = artifact.description
    images = noise(described.preprocessing.resolution, described.input_type, batch=batch)
    with find_target(target).open_session(artifact, threads=threads) as session:
        for _ in range(CALLS):
            session.run(images)
    return peak_of_this_process()


def peak_of_this_process() -> int:
    """Bytes. Linux's getrusage would count the parent's memory too, which lives on through fork and exec."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024  # kibibytes
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    model, name, size, count = sys.argv[1:]
    try:
        print(_measure(Path(model), name, int(size), int(count)))  # noqa: T201  read by peak_rss
    except ConvNeXtEdgeError as error:
        sys.exit(str(error))
