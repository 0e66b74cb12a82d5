"""Benchmarks that take long: row by row, each kept as soon as it is measured.

A run that was stopped, or whose minutes were over, goes on where it was. Before each row it waits for a quiet
machine; what others took of the CPUs stands in the row.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.support.reports import ROOT, Bar, Reporting
from convnext_edge.artifacts.files import write_text
from convnext_edge.artifacts.provenance import tool_versions
from convnext_edge.cpu import usable_cpus
from convnext_edge.evaluation.load import SPARE, watched_load
from convnext_edge.evaluation.timing import FAR, interval_of_median
from convnext_edge.reading import Shape, check, parse_json

SCRATCH = ROOT / "build" / "benchmarks"
SAMPLE = 0.5  # seconds in which others are watched

Row = dict[str, Any]


class PartialShape(Shape):
    """Shape of what a run that is not done has kept."""

    settings: dict[str, Any]
    rows: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What of a benchmark is measured, and how long that may take."""

    only: tuple[str, ...]  # names of rows; all where none is named
    runs: int  # rounds at most
    seconds: float  # behind which a row begins no more rounds
    minutes: float  # behind which no more rows begin
    patience: float  # seconds to wait for a quiet machine

    def settings(self) -> Row:
        """What rows of one plan have in common."""
        return {"runs": self.runs, "seconds": self.seconds, "versions": tool_versions()}


def long_options(*, runs: int, seconds: float, minutes: float) -> Callable[..., Any]:
    """Give a benchmark the options of a plan, which it takes as the argument `plan`."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--only", multiple=True, help="A row to measure; the others stay as they were.")
        @click.option("--runs", default=runs, show_default=True, help="Rounds of timed calls, at most.")
        @click.option("--seconds", default=seconds, show_default=True, help="Time for the rounds of a row.")
        @click.option("--minutes", default=minutes, show_default=True, help="No row begins behind them.")
        @click.option("--patience", default=120.0, show_default=True, help="Seconds to wait for quiet.")
        @wraps(command)
        def planned(
            *, only: tuple[str, ...], runs: int, seconds: float, minutes: float, patience: float, **rest: Any
        ) -> None:
            command(plan=Plan(only, runs, seconds, minutes, patience), **rest)

        return planned

    return add


@dataclass
class LongRun:
    """The rows of one benchmark, measured so far."""

    name: str
    plan: Plan
    reporting: Reporting
    asked: Row = field(default_factory=dict)  # what else all rows have in common
    started: float = field(default_factory=time.perf_counter)
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def settings(self) -> Row:
        """What all rows have in common; those of a run with other settings are not mixed with them."""
        return self.plan.settings() | self.asked

    @property
    def partial(self) -> Path:
        """The file of a run that is not done."""
        return self.reporting.path(self.name).with_suffix(".partial")

    @property
    def scratch(self) -> Path:
        """A folder for models that a run which goes on needs again."""
        return SCRATCH / self.name

    def measure(self, wanted: Mapping[str, Callable[[], Row]]) -> dict[str, Row]:
        """Return the rows that are wanted, by name, in their order."""
        unknown = sorted(set(self.plan.only) - set(wanted))
        if unknown:
            raise click.UsageError(f"--only {unknown[0]}: there are {', '.join(wanted)}")
        chosen = self.plan.only or tuple(wanted)
        self._go_on()
        for name in chosen:
            if name not in self.rows:
                self._stop_in_time(len(chosen))
                self._take(name, wanted[name])
        earlier = self._earlier()
        found = {**earlier, **self.rows}
        return {name: found[name] for name in wanted if name in found}

    def _go_on(self) -> None:
        """Take what a run that was stopped has kept, if it measured the same way."""
        if not self.partial.exists():
            shutil.rmtree(self.scratch, ignore_errors=True)
            self._keep()
            return
        kept = parse_json(self.partial.read_bytes())
        check(kept, PartialShape)
        if kept["settings"] != self.settings:
            raise click.UsageError(
                f"{self.partial} is of a run with other settings or versions: {kept['settings']}. Give the"
                " same settings to go on, or remove the file to begin anew."
            )
        self.rows = kept["rows"]
        click.echo(f"going on: {len(self.rows)} rows were measured before", err=True)

    def _earlier(self) -> dict[str, Row]:
        """The rows of the report before, where only some are measured anew with the same versions."""
        report = self.reporting.earlier(self.name) if self.plan.only else {}
        if report and report["versions"] != tool_versions():
            click.echo("the rows of the report before are of other versions, and left out", err=True)
            return {}
        found: dict[str, Row] = report.get("rows", {})
        return found

    def _stop_in_time(self, count: int) -> None:
        if time.perf_counter() - self.started > 60 * self.plan.minutes:
            raise click.ClickException(
                f"{self.plan.minutes:g} minutes are over with {len(self.rows)} of {count} rows measured."
                " The same command goes on from there."
            )

    def _take(self, name: str, measure: Callable[[], Row]) -> None:
        """Measure a row and keep it; of one that fails, how. It is tried again by the next run."""
        before = wait_for_quiet(self.plan.patience)
        click.echo(f"{time.perf_counter() - self.started:6.0f} s  {self.name}: {name}", err=True)
        began = time.perf_counter()
        try:
            row = measure()
        except Exception as error:  # whatever it is, the other rows are worth having
            click.echo(f"          {name} failed: {error}", err=True)
            self.rows[name] = {"failed": f"{type(error).__name__}: {error}"}
            return
        row["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        row["seconds"] = round(time.perf_counter() - began, 1)
        row["others_cpus"] = [before, others_cpus()]  # that others took before and behind
        self.rows[name] = row
        self._keep()

    def _keep(self) -> None:
        """Write what a run that goes on needs."""
        whole = {found: row for found, row in self.rows.items() if "failed" not in row}
        text = json.dumps({"settings": self.settings, "rows": whole}, indent=1)
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.partial, text + "\n")

    def finish(self, measured: Row, bars: list[Bar], *, of: int) -> None:
        """Write the report. of: how many rows there are.

        Where all worked, what a run that goes on would need is removed; else it stays for the next one.
        """
        rows: dict[str, Row] = measured["rows"]
        worked = sum("failed" not in row for row in rows.values())
        if worked >= of:
            self.partial.unlink(missing_ok=True)
            shutil.rmtree(self.scratch, ignore_errors=True)
        told = {"runs": self.plan.runs, "seconds": self.plan.seconds, "load_average": os.getloadavg()}
        complete = Bar("rows measured", worked, at_least=of)
        self.reporting.finish(self.name, {**told, **measured}, [complete, *bars])


def others_cpus() -> float | None:
    """How many CPUs others keep busy; None where the system does not tell."""
    with watched_load() as load:
        time.sleep(SAMPLE)
    return None if load.others is None else round(load.others, 2)


def wait_for_quiet(patience: float) -> float | None:
    """Wait until others leave the CPUs alone, or patience ends; return how many they keep busy then."""
    deadline, told = time.perf_counter() + patience, False
    while True:
        others = others_cpus()
        if others is None or others <= SPARE * usable_cpus() or time.perf_counter() > deadline:
            return others
        if not told:
            click.echo(f"          others keep {others} CPUs busy: waiting for a quiet machine", err=True)
        told = True


# --- figures of rows -------------------------------------------------------------------------------


def figures(calls: np.ndarray, images: int = 1) -> Row:
    """Figures of a contender's calls (runs, 3), as `take_turns` gives them. images: of each call."""
    wall = calls[:, 0]
    middle = float(np.median(wall))
    found: Row = {
        "p50_ms": round(middle, 3),
        "p50_ci95_ms": list(interval_of_median(wall)),
        "min_ms": round(float(wall.min()), 3),
        "cpu_ms": round(float(np.median(calls[:, 2])), 3),
        "images_per_second": round(1000 * images / middle, 3),
        "rounds": len(wall),
    }
    if middle > FAR * wall.min():
        found["doubt"] = f"the median is {middle / wall.min():.1f} times the least time"
    return found
