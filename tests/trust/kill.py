"""`make kill`: all commands are killed many times, and what they leave is counted after the next command.

    PYTHONPATH=tests:. python tests/trust/kill.py --kills 500 -o benchmarks/results

Kills come at random file operations and at random moments, as SIGKILL, SIGTERM and Ctrl-C. A tenth of them
hit the program as a user starts it, where they come during the imports as well.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

from PIL import Image
from support.figures import finish, parser
from support.killing import Ended, Findings, Kill, Place, commands, inspect, make_place, run
from support.killing_dense import dense_commands

LISTENED = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (signal.SIGKILL, *LISTENED)
NEXT = ["report", "--workspace", "work"]
KILLED = {-signal.SIGKILL, *(-number for number in LISTENED), *(128 + number for number in LISTENED)}
KINDS = ("kills", "interrupted", "left")  # left: something for the next command to finish or to remove
APART = "convnext_edge.rivals.recipes"  # what they import is in other environments
STARTED = 0.05  # seconds until Python itself has started: before, a signal meets no line of ours


def main() -> None:
    """Kill, count, print and write the figures; the exit code is not 0 where anything is wrong."""
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=500)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--base", type=Path, help="workspace to copy, in place of one that is made")
    options.add_argument("--dense", action="store_true", help="commands of segmenters, detectors and grids")
    options.add_argument("--only", action="append", help="command; repeatable")
    asked = options.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    with tempfile.TemporaryDirectory() as folder:
        counts, faults = kill_often(Path(folder), asked)
    found = {"kills": asked.kills, "seed": asked.seed, "commands": counts, "faults": faults}
    finish(
        "kills_dense" if asked.dense else "kills",
        found,
        {"faults after the next command": len(faults)},
        asked.output,
    )


def kill_often(folder: Path, asked: argparse.Namespace) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Return how often which command was killed, and a line for each thing that was wrong."""
    import_all()
    photos = draw(folder / "photos")
    known = (dense_commands if asked.dense else commands)(photos)
    lines = {n: line for n, line in known.items() if asked.only is None or n in asked.only}
    base = make_place(folder / "base", asked.base)
    usual = {name: run(base, line) for name, line in lines.items()}
    assert not any(ended.code for ended in usual.values()), usual
    whole = embedded(base.copy(folder / "place"), lines.get("embed detect" if asked.dense else "embed"))
    choose = random.Random(asked.seed)
    counts = {name: dict.fromkeys(KINDS, 0) for name in sorted(lines)}
    faults: list[str] = []
    for number in range(asked.kills):
        name = choose.choice(sorted(lines))
        place = base.copy(folder / "place")
        ended, told = kill_once(place, lines[name], usual[name], choose, outside=number % 10 == 0)
        killed, left = ended.code in KILLED, bool(inspect(place))
        for kind, there in zip(KINDS, (True, killed, left), strict=True):
            counts[name][kind] += there
        following = [lines[name], NEXT] if asked.dense and name != "embed detect" else [NEXT]
        found = [f"{number}: {name}, {told}: {fault}" for fault in aftermath(place, whole, ended, following)]
        sys.stderr.write(f"{number}: {name}, {told}: {ended.code}{', left something' * left}\n")
        sys.stderr.writelines(f"{fault}\n" for fault in found)
        faults += found
        shutil.rmtree(place.folder)
    return counts, faults


def kill_once(
    place: Place, line: list[str], usual: Ended, choose: random.Random, *, outside: bool
) -> tuple[Ended, str]:
    """Run a command and kill it; return how it ended, and when it was killed by which signal."""
    number = choose.choice(SIGNALS)
    if outside:
        after = choose.uniform(STARTED, STARTED + 4)
        return run_program(place, line, number, after), f"{number.name} after {after:.2f} s, imports included"
    if choose.random() < 0.6:
        operation = choose.randint(1, max(usual.operations, 1))
        return run(place, line, Kill(number, at_operation=operation)), f"{number.name} at {operation}"
    after = choose.uniform(0, usual.seconds)
    return run(place, line, Kill(number, after_seconds=after)), f"{number.name} after {after:.2f} s"


def run_program(place: Place, line: list[str], number: int, after: float) -> Ended:
    """Start the program as a user does, send it a signal, and return how it ended."""
    environment = {**os.environ, "TMPDIR": str(place.temporary), "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", "from convnext_edge.__main__ import main; main()", *line],
        cwd=place.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        _, said = process.communicate()
    return Ended(process.returncode, said, time.perf_counter() - began)


def embedded(place: Place, line: list[str] | None) -> set[str]:
    """Return the names of what `embed` writes where nothing kills it, and remove the place."""
    if line is not None:
        run(place, line)
    found = place.embedded
    shutil.rmtree(place.folder)
    return found


def aftermath(place: Place, whole: set[str], ended: Ended, following: list[list[str]]) -> list[str]:
    """Run the next commands, and return what is wrong then. whole: names of all that `embed` writes."""
    all_after = [run(place, line) for line in following]
    found: Findings = inspect(place)
    faults = [f"{what}: {names}" for what, names in vars(found).items() if names]
    if place.embedded and place.embedded != whole:
        faults.append(f"half a folder: {place.embedded ^ whole}")
    if ended.hung:  # killed at last, which is no way to end
        faults.append("it hung")
    if ended.traceback or ended.code not in {0, 3, *KILLED}:
        faults.append(f"ended with {ended.code}: {ended.said[-2000:]}")
    faults += [
        f"the next command ended with {after.code}: {after.said[-2000:]}"
        for after in all_after
        if after.code or after.traceback
    ]
    return faults


def import_all() -> None:
    """Import what the commands import, so that the processes that are forked from this one need not."""
    os.environ["OMP_NUM_THREADS"] = "1"  # threads of this process would be missing in those
    import onnxscript  # noqa: F401
    import torch  # noqa: F401

    import convnext_edge.cli
    from convnext_edge.quiet import importing

    with importing():
        import onnxruntime  # noqa: F401
        import openvino  # noqa: F401

        for module in walk_packages(convnext_edge.__path__, "convnext_edge."):
            if not module.name.startswith(APART):
                import_module(module.name)


def draw(folder: Path) -> Path:
    """Draw two small pictures of each of ten classes."""
    draws = random.Random(0)
    for number in range(20):
        place = folder / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        colours = Image.frombytes("RGB", (6, 6), draws.randbytes(108))
        colours.resize((40, 40), Image.Resampling.BICUBIC).save(place / f"{number}.png")
    return folder


if __name__ == "__main__":
    main()
