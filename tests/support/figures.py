"""How the long scripts of tests/trust end: their figures are printed, and written where that is asked for."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.support.reports import Bar, Reporting


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option that all these scripts have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("-o", "--output", type=Path, help="folder of the report, as benchmarks/results")
    return made


def finish(name: str, figures: dict[str, Any], wrong: dict[str, int], folder: Path | None) -> NoReturn:
    """Print the figures, write them with CPU, versions and date into `folder`, and exit.

    wrong: what must not have happened, by name; the exit code is not 0 where anything has.
    """
    if folder is not None:
        bars = [Bar(what, count, at_most=0) for what, count in wrong.items()]
        Reporting(folder, note="", cpu_name=None).finish(name, figures, bars)
    else:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.exit(any(wrong.values()))
