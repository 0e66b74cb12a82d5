"""The process that reads malformed inputs, one batch after the other: python -m benchmarks.fuzzing.worker BOX

It takes lines `READER<tab>SEED<tab>COUNT` and answers with a line of JSON for each input. Its memory is
bounded at some more than what is allowed, so that an input that takes all of it ends as a MemoryError.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.fuzzing.readers import READERS
from benchmarks.fuzzing.watch import MEMORY, observe, sandbox, write

WARM_UP = 3  # inputs of each reader
SPARE = 3 * MEMORY  # address space beyond the bar: threads and mapped files take some that is no memory
BATCH = settings(
    database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip


def run_batch(
    name: str, number: int, count: int, place: Path, answer: Callable[[dict[str, Any]], None]
) -> None:
    """Read `count` inputs of a seed, and answer for each; the files of one that is found stay in `last`."""
    reader = READERS[name]

    @seed(number)
    @settings(BATCH, max_examples=count)
    @given(reader.inputs)
    def attempt(files: dict[str, bytes]) -> None:
        write(files, place)
        write(files, place.parents[2] / "last")
        answer({"begin": name})
        outcome = observe(reader.read, place)
        answer({"size": sum(map(len, files.values())), "faults": outcome.faults, **asdict(outcome)})

    attempt()


def main() -> None:
    """Take batches until there are no more."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints

    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=answers, flush=True)

    with sandbox(Path(sys.argv[1]) / "box") as place:
        for name in READERS:  # what a reader imports when it is first used is no memory of an input
            run_batch(name, 0, WARM_UP, place, lambda value: None)
        limit = _address_space() + MEMORY + SPARE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for line in sys.stdin:
            name, number, count = line.rstrip("\n").split("\t")
            run_batch(name, int(number), int(count), place, answer)
            answer({"done": True})


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
