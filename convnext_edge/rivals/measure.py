"""All contenders in one run: made one after the other, compared with the reference, and timed in turns.

Each runs in a process of its own, which sleeps while the others are timed. A busy machine slows all alike
then, and ratios hold where milliseconds do not. The processes stay until all are timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.progress import doing, note, phase, track
from convnext_edge.rivals.contenders import Contender, File, Workshop
from convnext_edge.rivals.material import Material
from convnext_edge.rivals.process import RivalError, RivalProcess, Timed
from convnext_edge.rivals.rows import RivalRow, judge

CLOSENESS = ("candidate_top1", "drop_points", "drop_ci95_points", "agreement", "sqnr_db")  # fields of a row
FLOAT_DB = 80  # 8 bits leave 20 to 50 dB, another order of FP32 operations 120


def run_all(
    contenders: Sequence[Contender], material: Material, workshop: Workshop, *, threads: int, runs: int
) -> list[RivalRow]:
    """Return a row for each contender, in their order; of one that failed, how. runs: timed calls of each."""
    with ExitStack() as stack:
        trial = Trial(material, workshop, threads, stack)
        for number, contender in enumerate(contenders, 1):
            doing(f"{number} of {len(contenders)}: {contender.rival.label}")
            trial.take(contender)
        return judge(trial.rows, trial.time(runs))


@dataclass
class Trial:
    """Contenders that were taken so far, with their rows, and the processes of those that did not fail."""

    material: Material
    workshop: Workshop
    threads: int
    stack: ExitStack  # ends the processes
    rows: list[RivalRow] = field(default_factory=list)
    processes: dict[int, RivalProcess] = field(default_factory=dict)  # by the number of the row
    files: dict[str, File | RivalError] = field(default_factory=dict)  # by the call that makes them

    def take(self, contender: Contender) -> None:
        """Make and load what a contender runs, and compare its answers with the reference's."""
        rival = contender.rival
        row = RivalRow(rival.name, rival.runtime, contender.ours, rival.command, rival.source)
        try:
            file = contender.own or self._file(contender)
            row = replace(row, seconds=file.seconds, bytes=file.bytes, version=file.version)
            process = self.stack.enter_context(self.workshop.process(rival, runs=True))
            row = replace(row, **self._compared(contender, file, process))
            self.processes[len(self.rows)] = process
        except RivalError as error:
            note(f"{rival.label} failed: {error}")
            row = replace(row, failed=str(error))
        self.rows.append(row)

    def _file(self, contender: Contender) -> File:
        """Return the file of a rival; of those that make it by the same call, the first does."""
        rival = contender.rival
        if rival.call not in self.files:
            try:
                self.files[rival.call] = self.workshop.make(rival, self.material.given)
            except RivalError as error:
                self.files[rival.call] = error
        found = self.files[rival.call]
        if isinstance(found, RivalError):
            raise found
        return found

    @phase("comparing with the reference")
    def _compared(self, contender: Contender, file: File, process: RivalProcess) -> dict[str, Any]:
        """Return the fields of a row that tell how close a contender is."""
        rival, images = contender.rival, self.material.images[contender.input_type]
        process.load(rival.run, file.path, self.threads)
        answers = self.workshop.folder / "answers.npy"
        answers.unlink(missing_ok=True)  # those of the contender before
        process.answer(images, answers)
        closeness = compare(self.material, read_answers(answers))
        if rival.quantizes and not contender.ours and as_float(closeness["sqnr_db"]):
            raise RivalError("it answers as FP32 does: nothing was quantized")
        process.warm_up(self.material.timed[contender.input_type])
        return {**closeness, "peak_rss_bytes": process.memory()}

    def time(self, runs: int) -> dict[int, Sequence[float]]:
        """Time one call of each contender after the other, round after round.

        Returns the milliseconds of the calls of each that did not fail, by the number of its row.
        """
        calls: dict[int, list[Timed]] = {number: [] for number in self.processes}
        for _ in track(range(runs), "timing all in turns", total=runs):
            for number, process in list(self.processes.items()):
                try:
                    calls[number].append(process.time())
                except RivalError as error:
                    self.rows[number] = replace(self.rows[number], failed=str(error))
                    del self.processes[number]
        for number in self.processes:
            self.rows[number] = replace(self.rows[number], **figures(calls[number]))
        return {number: [call.milliseconds for call in calls[number]] for number in self.processes}


def as_float(sqnr_db: float | None) -> bool:
    """Return whether answers are this close to the reference's only without any product in 8 bits."""
    return sqnr_db is None or sqnr_db > FLOAT_DB


def read_answers(path: Path) -> np.ndarray[Any, Any]:
    """Return the logits that a contender wrote; raise RivalError for what are none."""
    try:
        found = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise RivalError(f"its answers cannot be read: {error}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        raise RivalError("its answers are not numbers in floating point")
    return found


def compare(material: Material, answers: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return the fields that tell how close logits (N, classes) are to the reference's; raise RivalError."""
    reference = material.reference
    if answers.shape != reference.shape:
        raise RivalError(f"its logits have the shape {answers.shape} in place of {reference.shape}")
    if not np.isfinite(answers).all():
        raise RivalError("it answers with NaN or infinity")
    found = Comparison()
    found.add(reference, answers, material.labels)
    figures = found.accuracy()
    return {name: figures[name] for name in CLOSENESS}


def figures(calls: Sequence[Timed]) -> dict[str, Any]:
    """Return the fields that follow from timed calls."""
    milliseconds = [call.milliseconds for call in calls]
    p50, p99 = (max(round(float(value), 3), 0.001) for value in np.percentile(milliseconds, (50, 99)))
    return {
        "p50_ms": p50,
        "p99_ms": p99,
        "min_ms": round(min(milliseconds), 3),
        "throughput_ips": round(1000 / p50, 2),
        "idle_cpu_ms": round(float(np.median([call.idle_cpu_ms for call in calls])), 3),
    }
