"""Build embedded C++ by the printed command where there is only cmake and g++: in a new root of Debian.

As root on Debian, with debootstrap and a network: python -m benchmarks.measure.embed_bare
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.support.embedding import RUNTIMES
from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge import build, embed, export, predict, quantize
from convnext_edge.images.decoding import decode
from convnext_edge.images.opening import open_image_set

SUITE = "bookworm"
INSTALLED = ("cmake", "g++")


def check(rows: list[dict[str, Any]]) -> Iterator[Bar]:
    for row in rows:
        what = f"{row['runtime']}: "
        yield Bar(f"{what}same top-1 as in Python", float(row["found"] == row["expected"]), at_least=1)
        yield Bar(f"{what}difference of the probability", row["difference"], at_most=0.02)


def make_root(root: Path) -> None:
    """A root of Debian with what is installed, and what those recommend."""
    run("debootstrap", "--variant=minbase", SUITE, root)
    (root / "etc" / "resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    inside(root, "apt-get update --quiet && apt-get install --yes --quiet " + " ".join(INSTALLED))
    run("mount", "-t", "proc", "proc", root / "proc")  # as any container has


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def inside(root: Path, script: str) -> str:
    return run("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "chroot", root, "sh", "-ec", script)


def classify(runtime: str, workspace: Path, root: Path, photo: Path) -> dict[str, Any]:
    """Embed the demo for a runtime, build it by the printed command, and ask both for a JPEG."""
    exported = export("demo", workspace=workspace).artifact
    model = quantize(exported, calib="demo", samples=64, target=runtime, timing=False, workspace=workspace)
    engine = build(model.artifact, target=runtime, workspace=workspace).engine
    made = embed(engine, lang="cpp", output=root / "work" / runtime)
    said = inside(root, f"cd /work/{runtime} && {made.build_command}")
    answer = inside(root, f"cd /work/{runtime} && build/classify --json --top 1 ../{photo.name}")
    ((found,),) = (row["top"] for row in json.loads(answer)["predictions"])
    (expected,) = predict(engine, photo, top=1).to_json()["predictions"][0]["top"]
    return {
        "runtime": runtime,
        "command": made.build_command,
        "downloaded": [line.split()[-1] for line in said.splitlines() if line.startswith("-- Downloading")],
        "found": found["label"],
        "expected": expected["label"],
        "difference": abs(found["probability"] - expected["probability"]),
    }


@click.command()
@report_options
def main(reporting: Reporting) -> None:
    """Build both runtimes' folders in a root that has cmake and g++ alone, and classify a JPEG there."""
    with tempfile.TemporaryDirectory() as folder:
        root, workspace = Path(folder, "root"), Path(folder, "workspace")
        make_root(root)
        try:
            (root / "work").mkdir()
            images = open_image_set("demo", split="evaluation")
            photo = root / "work" / "photo.jpg"
            decode(images.contents.read(images.entries[0].name)).resize((200, 160)).save(photo, quality=90)
            rows = [classify(runtime, workspace, root, photo) for runtime in RUNTIMES]
        finally:
            run("umount", root / "proc")
    reporting.finish("embed_bare", {"suite": SUITE, "installed": INSTALLED, "answers": rows}, check(rows))


if __name__ == "__main__":
    main()
