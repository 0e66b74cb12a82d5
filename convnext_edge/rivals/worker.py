"""The process in which a rival works: it makes a file, or loads one, answers images and times itself.

    python -m convnext_edge.rivals.worker

Each line of standard input asks, in JSON, for one of the methods of `Worker`; each line of standard output
answers. It is run by the Python of the rival's environment, which needs NumPy, `lazy-loader`, this package
(without what it depends on) and the rival's own.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from convnext_edge.rivals.rival import Call, Given
from convnext_edge.rivals.turn import WARM_UP, take_turn

# Some libraries report their use over the network, or look for newer versions of themselves.
NO_REPORTS = {"CI": "true", "NNCF_CI": "1", "HF_HUB_OFFLINE": "1", "OLIVE_DISABLE_TELEMETRY": "1"}


def find_function(name: str) -> Any:
    """Return the function that a `Step` names."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(f"convnext_edge.rivals.recipes.{module}"), function)


class Worker:
    """What may be asked of the process; each method takes and returns values that JSON has."""

    call: Call
    image: Any  # (1, channels, H, W), what is timed

    def make(self, step: str, options: dict[str, Any], given: dict[str, str], folder: str) -> dict[str, Any]:
        """Make a file in a folder; tell how long it took, the loading of packages apart."""
        function, started = find_function(step), time.perf_counter()
        path = function(Given.from_json(given), Path(folder), **options)
        return {"path": str(path), "seconds": round(time.perf_counter() - started, 3)}

    def load(self, step: str, options: dict[str, Any], path: str, threads: int) -> dict[str, Any]:
        """Make a file ready to run."""
        self.call = find_function(step)(Path(path), threads, **options)
        return {}

    def answer(self, images: str, answers: str) -> dict[str, Any]:
        """Run the images of a file one by one, and write their logits to another; both are .npy."""
        found = [self.call(image[None]) for image in np.load(images, mmap_mode="r").copy()]
        np.save(answers, np.concatenate(found).astype(np.float32))
        return {}

    def warm_up(self, image: str) -> dict[str, Any]:
        """Take the image that is to be timed, and run it a few times."""
        self.image = np.load(image)
        for _ in range(WARM_UP):
            self.call(self.image)
        return {}

    def time(self) -> dict[str, Any]:
        """Time one call, see `Turn`."""
        return take_turn(lambda: self.call(self.image))._asdict()

    def version(self, package: str) -> dict[str, Any]:
        """Tell the version of an installed package."""
        return {"version": metadata.version(package)}

    def memory(self) -> dict[str, Any]:
        """Tell the peak of the process's physical memory in bytes; None where the system does not tell."""
        status = Path("/proc/self/status")
        if not status.exists():
            return {"peak_rss_bytes": None}
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return {"peak_rss_bytes": int(peak.split()[1]) * 1024}  # kibibytes


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer one request after the other until there are no more."""
    worker = Worker()
    for line in requests:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("ask"))(**request)
        except Exception as error:  # whatever a rival raises is what its row says
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Serve over standard input and output; what libraries print goes to standard error."""
    os.environ.update(NO_REPORTS)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
