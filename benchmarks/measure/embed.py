"""Embedded C++ against Python on the same engine: answers, size, start and latency.

    python -m benchmarks.measure.embed --data imagenet_val --data-root DIR

The demo model answers all of the demo's images, and ConvNeXt-T (random weights, 224) those of `--data`:
C++ gets the decoded pixels, Python goes the way of `validate`. Programs are built in CMake's Release.

Latency. The engine's calls in C++ and in Python, one thread each, take turns, one call each behind one
that is not timed, while the other waits: on a busy machine their ratio holds where milliseconds do not.
`start` is a fresh process of the sample as installed for a device: from its start to its end, with one
answer printed; files come from the system's cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks.support.embedding import RUNTIMES, Embedded, compare, embed_int8
from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import ratio
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.images.noise import noise
from convnext_edge.images.opening import open_image_set

from support.embedded import Build, build, onnxruntime_options, openvino_options, packed, run  # isort: skip

PHOTO = (640, 480)  # pixels, as a camera's small picture
SETTLE = 0.02  # seconds, in which the threads of a runtime fall asleep
STARTS = 10
MB = 1e6


def build_release(embedded: Embedded, place: Path) -> Build:
    """Installed below `place`/prefix with the libraries of the runtime, as on a device."""
    options = openvino_options() if embedded.runtime == "openvino" else onnxruntime_options(place)
    return build(embedded.folder, place, [*options, "-DCONVNEXT_EDGE_INSTALL_RUNTIME=ON"])


def libraries(prefix: Path) -> dict[str, int]:
    """Bytes of each library of the runtime that a device needs."""
    found = sorted((prefix / "lib").glob("lib*.so*"))
    return {path.name: path.stat().st_size for path in found if "convnext_edge" not in path.name}


def start(embedded: Embedded, prefix: Path, picture: Path) -> dict[str, Any]:
    """Milliseconds of fresh processes that answer one picture, and what the program itself says."""
    call: list[str | Path] = [
        prefix / "bin" / "classify",
        "--model",
        prefix / "share" / "convnext_edge" / "model",
        "--threads",
        "1",
    ]
    times = []
    for _ in range(STARTS):
        started = time.perf_counter()
        run(*call, picture)
        times.append(1000 * (time.perf_counter() - started))
    told = json.loads(run(*call, "--bench", picture))
    kept = ("load_ms", "first_answer_ms", "candidate_ms", "end_to_end_ms", "peak_rss_bytes")
    p50 = round(float(np.median(times)), 1)
    return {"process_ms": {"p50": p50, "min": round(min(times), 1)}, **{key: told[key] for key in kept}}


@contextmanager
def cpp_turn(program: Build, embedded: Embedded) -> Iterator[Callable[[], float]]:
    """Milliseconds of one call in C++, whenever asked for."""
    command: list[str | Path] = [program.harness, embedded.folder / "model", "turns", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        stdin.write(packed([np.zeros((PHOTO[1], PHOTO[0], 3), np.uint8)]))

        def turn() -> float:
            stdin.write(b".")
            return float(stdout.readline())

        turn()
        yield turn
        stdin.close()


@contextmanager
def python_turn(embedded: Embedded) -> Iterator[Callable[[], float]]:
    """The same in Python."""
    artifact = open_artifact(embedded.engine)
    described = artifact.description
    images = noise(described.preprocessing.shape, described.input_type, batch=1)
    with open_session(artifact, embedded.runtime, threads=1) as session:

        def turn() -> float:
            session.run(images)  # the caches are another program's
            started = time.perf_counter()
            session.run(images)
            return 1000 * (time.perf_counter() - started)

        turn()
        yield turn


def take_turns(program: Build, embedded: Embedded, runs: int) -> dict[str, Any]:
    times: dict[str, list[float]] = {"cpp": [], "python": []}
    with cpp_turn(program, embedded) as cpp, python_turn(embedded) as python:
        for _ in range(runs):
            for name, turn in (("cpp", cpp), ("python", python)):
                times[name].append(turn())
                time.sleep(SETTLE)
    rows = {name: np.array(column)[:, None] for name, column in times.items()}
    figures = {
        f"{name}_ms": {"p50": round(float(np.median(row)), 3), "min": round(float(row.min()), 3)}
        for name, row in rows.items()
    }
    found = {**figures, **ratio(rows, "cpp", "python")}
    print("timed:", embedded.runtime, found, file=sys.stderr)
    return found


def check(measured: dict[str, Any]) -> Iterator[Bar]:
    for row in measured["answers"]:
        what = f"{row['model']} in {row['runtime']}: "
        yield Bar(f"{what}identical logits, share", row["identical"] / row["images"], at_least=1)
        yield Bar(f"{what}agreement", row["agreement"], at_least=1)
    sizes = measured["libraries"]
    yield Bar("openvino: libraries, MB", sum(sizes["openvino"].values()) / MB, at_most=100)
    for runtime, row in measured["latency"].items():
        yield Bar(f"tiny in {runtime}: C++ / Python, latency", row["ratio"], at_most=1.05)


@click.command()
@click.option("--calib", default="demo", show_default=True, help="Image set to calibrate ConvNeXt-T with.")
@click.option("--data", default="demo", show_default=True, help="Image set that ConvNeXt-T answers.")
@click.option("--data-root", type=click.Path(exists=True, path_type=Path), help="Folder of image sets.")
@click.option("--limit", type=int, help="That many of them, drawn by a fixed seed.")
@click.option("--runs", default=50, show_default=True, help="Timed calls of each.")
@report_options
def main(
    calib: str, data: str, data_root: Path | None, limit: int | None, runs: int, reporting: Reporting
) -> None:
    """Hold embedded C++ against Python."""
    demo = open_image_set("demo", split="evaluation")
    images = open_image_set(data, data_root=data_root, split="evaluation").subset(limit, seed=0)
    measured: dict[str, Any] = {"answers": [], "libraries": {}, "start": {}, "latency": {}, "runs": runs}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.ppm"
        Image.effect_noise(PHOTO, 80).convert("RGB").save(picture)
        for runtime in RUNTIMES:
            place = Path(folder) / runtime
            place.mkdir()
            small, tiny = (embed_int8(model, runtime, calib, place) for model in ("demo", "tiny"))
            program = build_release(tiny, place)
            print("built:", runtime, file=sys.stderr)
            measured["libraries"][runtime] = libraries(place / "prefix")
            measured["start"][runtime] = start(tiny, place / "prefix", picture)
            measured["latency"][runtime] = take_turns(program, tiny, runs)
            measured["answers"] += [compare(program, small, demo), compare(program, tiny, images)]
    measured["load_average"] = os.getloadavg()
    reporting.finish("embed", measured, check(measured))


if __name__ == "__main__":
    main()
