"""Malformed inputs for every reader of the package: tracebacks, time, memory, and files outside.

    python -m benchmarks.measure.fuzz

The inputs are sound files that strategies of Hypothesis damage: their bytes, and the values in them.
Processes of their own read them, so that a crash or an endless loop of native code is seen as well: an input
may take 10 s of CPU time (or 60 s, waiting) and 1 GiB, must end in a result or in an error of
`convnext_edge.errors`, and must leave the files around its folder alone. The inputs that broke a promise are
kept in build/fuzz, the smallest of each kind.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import click

from benchmarks.fuzzing.readers import READERS
from benchmarks.fuzzing.watch import SECONDS, WAITING
from benchmarks.support.reports import Bar, Reporting, report_options

FAULTS = ("tracebacks", "over_10_s", "over_1_gib", "files_outside", "crashes")
BATCH = 50  # inputs of one seed
STARTING = 300.0  # seconds for a worker to import all that it needs
SLOW_SHARE = 0.2  # of the inputs of the other readers
KEPT = Path("build/fuzz")


@dataclass
class Findings:
    """What was seen so far, of all workers."""

    inputs: Counter[str] = field(default_factory=Counter)  # by reader
    faults: dict[str, Counter[str]] = field(default_factory=lambda: {fault: Counter() for fault in FAULTS})
    slowest: Counter[str] = field(default_factory=Counter)  # milliseconds
    largest: Counter[str] = field(default_factory=Counter)  # bytes
    smallest: dict[str, int] = field(default_factory=dict)  # bytes of the kept input, by kind of fault
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, reader: str, outcome: dict[str, Any], last: Path, seed: int) -> None:
        """Count one input; keep its files where it broke a promise and is the smallest of its kind."""
        with self.lock:
            self.inputs[reader] += 1
            self.slowest[reader] = max(self.slowest[reader], round(1000 * outcome["seconds"]))
            self.largest[reader] = max(self.largest[reader], outcome["bytes"])
            for fault in outcome["faults"]:
                self.faults[fault][reader] += 1
                self._keep(reader, fault, outcome, last, seed)

    def _keep(self, reader: str, fault: str, outcome: dict[str, Any], last: Path, seed: int) -> None:
        kind = f"{reader} {fault} {outcome['error'].partition(': ')[0]}"
        if outcome["size"] >= self.smallest.get(kind, sys.maxsize):
            return
        new = kind not in self.smallest
        self.smallest[kind] = outcome["size"]
        folder = KEPT / "".join(c if c.isalnum() else "-" for c in kind)[:150]
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(last, folder)
        (folder / "FOUND.json").write_text(json.dumps({"seed": seed, "reader": reader, **outcome}, indent=2))
        if new:
            print(f"{reader}: {fault}: {outcome['error'] or folder}", file=sys.stderr)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a reader."""
        return [
            {
                "reader": reader,
                "inputs": self.inputs[reader],
                **{fault: self.faults[fault][reader] for fault in FAULTS},
                "slowest_seconds": self.slowest[reader] / 1000,
                "most_bytes": self.largest[reader],
            }
            for reader in READERS
        ]


class Worker:
    """A process that reads inputs; it is started anew where one of them ended it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self.process: subprocess.Popen[str] | None = None
        self.lines: Queue[str] = Queue()

    def run(self, reader: str, seed: int, count: int) -> Iterator[dict[str, Any]]:
        """Yield the outcome of each input, the last one being what the process died of where it did."""
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(f"{reader}\t{seed}\t{count}\n")
        process.stdin.flush()
        patience = STARTING
        while True:
            line = self._line(patience)
            if line is None:
                yield self._end("over_10_s" if process.poll() is None else "crashes")
                return
            outcome = json.loads(line)
            if "done" in outcome:
                return
            if "begin" in outcome:
                patience = WAITING + 2
            else:
                yield outcome

    def close(self) -> None:
        """End the process, and remove its folder."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None:
            command = [sys.executable, "-m", "benchmarks.fuzzing.worker", str(self.folder)]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            self.lines = Queue()
            threading.Thread(target=self._listen, args=(self.process, self.lines), daemon=True).start()
        return self.process

    @staticmethod
    def _listen(process: subprocess.Popen[str], lines: Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        process.wait()
        lines.put("")

    def _line(self, patience: float) -> str | None:
        try:
            return self.lines.get(timeout=patience) or None
        except Empty:
            return None

    def _end(self, fault: str) -> dict[str, Any]:
        assert self.process is not None
        self.process.kill()
        code = self.process.wait()
        self.process = None
        size = sum(path.stat().st_size for path in (self.folder / "last").rglob("*") if path.is_file())
        seconds = SECONDS if fault == "over_10_s" else 0.0
        error = f"exit code {code}" if fault == "crashes" else ""
        return {
            "faults": [fault],
            "error": error,
            "seconds": seconds,
            "bytes": 0,
            "size": size,
            "outside": [],
        }


def work(tasks: Queue[tuple[str, int, int]], findings: Findings, until: float) -> None:
    """Take batches until there are no more, or the time `until` has come; what is left of one that ended a process comes under another seed."""  # noqa: E501
    worker = Worker()
    try:
        while time.perf_counter() < until:
            reader, seed, count = tasks.get_nowait()
            done = 0
            for outcome in worker.run(reader, seed, count):
                done += 1
                findings.add(reader, outcome, worker.folder / "last", seed)
            if 0 < done < count and worker.process is None:
                tasks.put((reader, seed + 1_000_003, count - done))
    except Empty:
        pass
    finally:
        worker.close()


def shares(readers: Sequence[str], inputs: int) -> dict[str, int]:
    """Return how many inputs each reader gets: the slow ones fewer."""
    weights = {reader: SLOW_SHARE if READERS[reader].slow else 1.0 for reader in readers}
    return {reader: math.ceil(inputs * weight / sum(weights.values())) for reader, weight in weights.items()}


@click.command()
@click.option("--inputs", default=20_000, show_default=True, help="All readers together.")
@click.option("--only", multiple=True, help="Reader; repeatable.  [default: all]")
@click.option("--seed", default=0, show_default=True, help="Of all inputs.")
@click.option("--minutes", default=math.inf, help="Stop then, with fewer inputs.  [default: never]")
@click.option("--jobs", default=2, show_default=True, help="Processes.")
@report_options
def main(
    inputs: int, only: tuple[str, ...], seed: int, minutes: float, jobs: int, reporting: Reporting
) -> None:
    """Let every reader read malformed inputs."""
    started = time.perf_counter()
    readers = only or tuple(READERS)
    tasks: Queue[tuple[str, int, int]] = Queue()
    wanted = shares(readers, inputs)
    for first in range(
        0, max(wanted.values()), BATCH
    ):  # in turns, so that a run that ends early has seen all
        for reader in readers:
            if first < wanted[reader]:
                tasks.put((reader, seed * 1_000_000 + first + 1, min(BATCH, wanted[reader] - first)))
    findings = Findings()
    threads = [
        threading.Thread(target=work, args=(tasks, findings, started + 60 * minutes)) for _ in range(jobs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finish(findings, reporting, {"seed": seed, "seconds": round(time.perf_counter() - started)}, inputs)


def finish(findings: Findings, reporting: Reporting, settings: dict[str, Any], inputs: int) -> None:
    """Print the table, and write the report."""
    rows = findings.rows()
    print(f"{'reader':<22}" + "".join(f"{name:>16}" for name in list(rows[0])[1:]))
    for row in rows:
        print(f"{row['reader']:<22}" + "".join(f"{value:>16}" for value in list(row.values())[1:]))
    bars = [Bar("inputs", sum(findings.inputs.values()), at_least=inputs)]
    bars += [Bar(fault, sum(counts.values()), at_most=0) for fault, counts in findings.faults.items()]
    reporting.finish("fuzz", {**settings, "readers": rows}, bars)


if __name__ == "__main__":
    main()
