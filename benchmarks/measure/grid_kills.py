"""compare --grid on two workers of Ray, one of which is killed again and again: is anything lost or redone?

    python -m benchmarks.measure.grid_kills

A grid of 8 cells (the demo model at 2 resolutions, 2 methods, 2 targets) is compared twice, in two empty
workspaces: in one process without Ray, and on `--ray local:2`, where a worker that has work is killed
(SIGKILL) five times, with four parts of cells or more completed between two kills. Counted are the cells that
are complete, the parts of cells that were written more than once, and the cells of which anything that
`quantize`, `build` and `validate` say differs from the run without Ray. Every 0.05 s it is looked at which
steps are at work: where an engine is timed, no other may be. A third run must find all of it done.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge.artifacts.sidecar import read_sidecar

PAUSE = 0.5  # seconds after a part was completed
APART = 4  # parts between two kills, so that they fall on different steps
NAMES = ("start_model", "make", "reference_shard", "answer", "join", "check", "time", "keep_reference")
# What depends on the moment, or on what was known before, and is no result.
OF_THE_MOMENT = ("artifact", "reference_known", "kept", "made", "candidate_ms", "reference_ms", "speedup",
                 "speedup_ci95", "throughput_ips", "peak_rss_bytes", "reliable", "doubt", "advice",
                 "candidate_histogram", "reference_histogram")  # fmt: skip


class Killer(threading.Thread):
    """Kills a process that works for Ray, `kills` times, and watches what is written meanwhile."""

    def __init__(self, parent: int, cells: Path, kills: int) -> None:
        super().__init__(daemon=True)
        self.parent, self.cells, self.kills = parent, cells, kills
        self.killed: list[str] = []  # what each was at
        self.written: dict[str, set[tuple[int, int]]] = {}  # of each part: its inodes and times
        # looks at which an engine was timed; those with company; those with company at a second glance
        self.timings = self.doubted = 0
        self.disturbed: list[list[str]] = []  # which steps were at work
        self.stopped = threading.Event()

    def run(self) -> None:
        done, since, following = 0, 0.0, 1
        while not self.stopped.wait(0.05):
            self.look()
            timed, others = self.at_work()
            self.timings += timed
            self.doubted += timed and others
            # processes are looked at one after the other: one may end while another begins
            if timed and others and all(self.at_work()):
                self.disturbed.append(sorted(name for _, name in working(self.parent)))
            parts = len(self.written)
            if parts != done:
                done, since = parts, time.monotonic()
            # in the midst of a step, not at its beginning, and each time with more done
            elif len(self.killed) < self.kills and parts >= following and time.monotonic() - since > PAUSE:
                following = parts + APART if self.kill_one() else following

    def at_work(self) -> tuple[bool, bool]:
        """Whether an engine is timed, and whether anything else is done."""
        steps = [name for _, name in working(self.parent)]
        return "time" in steps, any(name != "time" for name in steps) or steps.count("time") > 1

    def look(self) -> None:
        """Remember each part by inode and time: one that is written again has others."""
        for path in self.cells.glob("*.json"):
            stat = path.stat()
            self.written.setdefault(path.name, set()).add((stat.st_ino, stat.st_mtime_ns))

    def kill_one(self) -> bool:
        for process, name in working(self.parent):
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.killed.append(name)
            return True
        return False


def working(parent: int) -> list[tuple[psutil.Process, str]]:
    """The processes of Ray that have work, and which; not what a step starts, which begins as its copy."""
    found: dict[int, tuple[psutil.Process, str, int]] = {}
    try:
        for child in psutil.Process(parent).children(recursive=True):
            with suppress(psutil.Error):
                title = " ".join(child.cmdline())
                name = title.removeprefix("ray::").partition("(")[0].strip()
                if title.startswith("ray::") and name in NAMES:
                    found[child.pid] = child, name, child.ppid()
    except psutil.NoSuchProcess:
        return []
    return [(child, name) for child, name, above in found.values() if above not in found]


def write_grid(folder: Path, images: int) -> Path:
    grid = folder / "grid.toml"
    grid.write_text(
        'variants = ["demo"]\nresolutions = [32, 48]\n'
        'methods = ["fp32", "ptq"]\ntargets = ["openvino", "onnxruntime"]\n'
        f'[images]\ncalib = "demo"\nsamples = 16\ndata = "demo"\nlimit = {images}\n'
        "[timing]\nruns = 5\n"
    )
    return grid


def start(grid: Path, workspace: Path, *options: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "convnext_edge", "compare", "--grid", str(grid), "--json"]
    return subprocess.Popen(
        [*words, "--workspace", str(workspace), *options], stdout=subprocess.PIPE, stderr=sys.stderr
    )


def result_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    output, _ = process.communicate()
    if process.returncode:
        raise click.ClickException(f"compare ended with exit code {process.returncode}")
    found: dict[str, Any] = json.loads(output)
    return found


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """What a run found, with the digest of the ONNX file that the engine is of.

    OpenVINO's file has a counter of its process in the names of constants, and so another digest and size.
    """
    left_out = OF_THE_MOMENT + (("sha256", "bytes") if row["target"] == "openvino" else ())
    parent = read_sidecar(Path(row["artifact"])).description.parent
    found = {key: value for key, value in row.items() if key not in left_out}
    return {**found, "graph": parent.sha256 if parent else None}


def differing(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[str]:
    """Names of the cells whose numbers differ, with the keys."""
    found = []
    for one, other in zip(map(numbers, a), map(numbers, b), strict=True):
        keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        if keys:
            name = f"{one['model']} {one['resolution']} {one['method']} {one['target']}"
            found.append(f"{name}: {', '.join(keys)}")
    return found


@click.command()
@click.option("--kills", default=5, show_default=True)
@click.option("--images", default=64, show_default=True)
@report_options
def main(reporting: Reporting, kills: int, images: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        grid = write_grid(folder, images)
        began = time.perf_counter()
        alone = result_of(start(grid, folder / "alone"))
        seconds = {"without_ray": round(time.perf_counter() - began, 1)}
        began = time.perf_counter()
        process = start(grid, folder / "ray", "--ray", "local:2")
        killer = Killer(process.pid, folder / "ray" / "cells", kills)
        killer.start()
        ray = result_of(process)
        killer.stopped.set()
        killer.join()
        killer.look()
        seconds["on_ray"] = round(time.perf_counter() - began, 1)
        again = result_of(start(grid, folder / "ray"))
        others = differing(alone["rows"], ray["rows"])
        rows_of_ray = [numbers(row) for row in ray["rows"]]
    complete = sum(row["failed"] is None for row in ray["rows"])
    twice = sorted(name for name, stamps in killer.written.items() if len(stamps) > 1)
    bars = [
        Bar("workers killed", len(killer.killed), at_least=kills),
        Bar("cells complete", complete, at_least=len(alone["rows"])),
        Bar("parts of cells written twice", len(twice), at_most=0),
        Bar("cells with other numbers than without Ray", len(others), at_most=0),
        Bar("looks at which an engine was timed", killer.timings, at_least=1),
        Bar("of these, with other work of ours", len(killer.disturbed), at_most=0),
        Bar("cells that a second run takes as they are", again["kept_cells"], at_least=len(alone["rows"])),
    ]
    told = ("model", "resolution", "method", "target", "graph", "images", "candidate_top1", "sqnr_db")
    measured = {
        "cells": len(alone["rows"]),
        "parts": len(killer.written),
        "killed_at": killer.killed,
        "timings_with_company_at_first_glance": killer.doubted,
        "timings_with_company": killer.disturbed,
        "written_twice": twice,
        "differing": others,
        "seconds": seconds,
        "rows": [{key: row[key] for key in told} for row in rows_of_ray],
    }
    reporting.finish("grid_kills", measured, bars)


if __name__ == "__main__":
    main()
