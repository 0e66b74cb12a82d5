"""The bars of a benchmark, its JSON report of where and how it was measured, and SQNR by image."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from convnext_edge.artifacts.provenance import tool_versions
from convnext_edge.cpu import Cpu, read_cpu
from convnext_edge.targets.base import Logits

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
NOT_MET = 3  # exit code of a gate that was not met, as of the package's own commands
ROUTES = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "i8mm", "asimddp", "asimd")


@dataclass(frozen=True)
class Bar:
    """A promise about one measured number; a value of None (no error at all, in dB) meets it."""

    name: str
    value: float | None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def passed(self) -> bool:
        if self.value is None:
            return True
        high_enough = self.at_least is None or self.value >= self.at_least
        return high_enough and (self.at_most is None or self.value <= self.at_most)

    def to_json(self) -> dict[str, Any]:
        stated = {key: value for key, value in asdict(self).items() if value is not None}
        return {**stated, "passed": self.passed}

    def __str__(self) -> str:
        limit = f">= {self.at_least}" if self.at_least is not None else f"<= {self.at_most}"
        value = "exact" if self.value is None else f"{self.value:.4g}"
        return f"{'ok    ' if self.passed else 'NOT MET'} {self.name}: {value} ({limit})"


@dataclass(frozen=True)
class Reporting:
    """Where a report goes, and what it says beside the measurements."""

    results: Path
    note: str
    cpu_name: str | None

    def path(self, name: str, cpu: Cpu | None = None) -> Path:
        """The file of a report of this CPU: results/NAME-ROUTE.json."""
        return self.results / f"{name}-{route(cpu or read_cpu())}.json"

    def earlier(self, name: str) -> dict[str, Any]:
        """What that file holds so far; nothing where there is none."""
        path = self.path(name)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found

    def finish(self, name: str, measured: dict[str, Any], bars: Iterable[Bar]) -> None:
        """Write results/NAME-ROUTE.json, print the bars, and exit with 3 where one is not met."""
        cpu, bars = read_cpu(), list(bars)
        cpu = replace(cpu, name=self.cpu_name or cpu.name)
        report = {
            "benchmark": name,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command_to_repeat(),
            "note": self.note,
            "cpu": asdict(cpu),
            "versions": tool_versions(),
            "bars": [bar.to_json() for bar in bars],
            "passed": all(bar.passed for bar in bars),
            **measured,
        }
        self.results.mkdir(parents=True, exist_ok=True)
        path = self.path(name, cpu)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(*bars, f"written: {path}", sep="\n")
        if not report["passed"]:
            sys.exit(NOT_MET)


def command_to_repeat() -> str:
    """The command that repeats this measurement, from the root of the checkout."""
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)
    if script.parts[0] == "tests":
        return f"PYTHONPATH=tests:. {shlex.join(['python', str(script), *sys.argv[1:]])}"
    return shlex.join(["python", "-m", ".".join(script.with_suffix("").parts), *sys.argv[1:]])


def report_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a benchmark the options of its report, which it takes as the argument `reporting`."""

    @click.option("--note", default="", help="A remark to record, as on how the machine was set up.")
    @click.option("--cpu-name", help="Name of the CPU, where the system tells a wrong one.")
    @click.option(
        "--results",
        type=click.Path(file_okay=False, path_type=Path),
        default=RESULTS,
        help="Folder of the reports.",
    )
    @wraps(command)
    def reported(*, note: str, cpu_name: str | None, results: Path, **arguments: Any) -> None:
        command(reporting=Reporting(results, note, cpu_name), **arguments)

    return reported


def route(cpu: Cpu) -> str:
    """The instruction set that decides how INT8 runs on this CPU; the name of a report has it."""
    return next((name for name in ROUTES if name in cpu.isa), "unknown")


def sqnr_of_images(reference: Logits, candidate: Logits) -> NDArray[np.float64]:
    """SQNR in dB of each image's logits (N, classes), infinite where they are identical."""
    signal = np.square(reference, dtype=np.float64).sum(1)
    noise = np.square(reference - candidate, dtype=np.float64).sum(1)
    with np.errstate(divide="ignore"):
        found: NDArray[np.float64] = 10 * np.log10(signal / noise)
    return found


def decibels(value: float) -> float | None:
    """As reports have it: None for no error at all."""
    return round(float(value), 2) if np.isfinite(value) else None
