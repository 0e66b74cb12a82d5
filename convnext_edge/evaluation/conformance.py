"""Golden cases: small models of the package, and the logits that a runtime must answer for them.

The models were made once by `export` and `quantize`, the logits by the reference evaluator of the ONNX
project, which computes each node as the standard says (benchmarks/make/conformance.py). So it is not one
runtime that is held against another.

Two bounds hold for each case. Floats add up in another order on each CPU: that moves all logits by less
than FLOAT_BOUND. In an INT8 model, an activation on the boundary of two of its 256 codes then falls either
way, which moves the logits of few images by far more, and those of most images not at all. So the largest
difference must stay within the bound of the case, and the median over the images within FLOAT_BOUND. The
median shows what the largest cannot: a scale that is wrong by one percent, or an engine that is not INT8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.cpu import usable_cpus
from convnext_edge.errors import TargetError
from convnext_edge.images.definitions import calibration_dir
from convnext_edge.images.transform import normalize
from convnext_edge.reading import Shape, read_json
from convnext_edge.targets.base import NO_OPTIONS, Images, Logits, Session
from convnext_edge.targets.building import describe_engine, write_engine
from convnext_edge.targets.registry import ON_CPUS, find_target

# The logits of the cases have a standard deviation of 0.95. Seen in OpenVINO and ONNX Runtime on x86, with
# VNNI and without (QEMU), in Python and C++, on ARM64 (QEMU), and in WebAssembly:
FLOAT_BOUND = 5e-5  # at most 1.5e-6 in FP32, medians of INT8 up to 8e-7
INT8_BOUND = 0.08  # at most 0.025
THREADS = (1, 2)
BATCHES = (1, 8)  # images in a call


def pictures(count: int, edge: int, *, first: int = 0) -> NDArray[np.uint8]:
    """Return pictures (count, 3, edge, edge), from number `first` on: waves of many colours and directions.

    They follow from whole numbers alone, so they are the same with each version of each library.
    """
    number, channel, y, x = np.ogrid[first : first + count, :3, :edge, :edge]
    seed = 3 * number + channel
    across, down, bend = 7 * seed % 17 - 8, 11 * seed % 19 - 9, 4 + seed % 13
    wave = (across * x + down * y + x * y // bend + 37 * seed) % 510
    made: NDArray[np.uint8] = (255 - np.abs(wave - 255)).astype(np.uint8)
    return made


@dataclass(frozen=True)
class Case:
    """A model and the logits that it must answer for the first pictures."""

    name: str
    model: Artifact  # ONNX
    logits: Logits  # (N, classes)

    @property
    def bound(self) -> float:
        """The largest difference of a logit that a right runtime may show."""
        return FLOAT_BOUND if self.model.description.precision == "fp32" else INT8_BOUND

    @property
    def images(self) -> Images:
        """The pictures as the model takes them, (N, 3, H, W)."""
        described = self.model.description
        made = pictures(len(self.logits), described.preprocessing.resolution)
        return made if described.input_type == "uint8" else normalize(made, described.preprocessing)


class GoldenShape(Shape):
    """What golden.json holds: of each case its logits, a list for each picture; and how they were made."""

    made: dict[str, str]
    cases: dict[str, list[list[float]]]


def golden_cases(folder: Path | None = None) -> list[Case]:
    """Return the cases of a folder, by default those of the package.

    Raises ArtifactError where a file is damaged or missing.
    """
    place = folder or calibration_dir() / "conformance"
    golden = read_json(place / "golden.json", GoldenShape, hint="Install convnext-edge again.")
    return [
        Case(name, open_artifact(place / f"{name}.onnx"), np.array(logits, np.float32))
        for name, logits in golden["cases"].items()
    ]


@dataclass(frozen=True)
class Deviation:
    """How far the answers to a case are from the golden ones, and whether that is near enough."""

    bound: float  # of `largest_difference`
    median_bound: float = FLOAT_BOUND  # of `median_difference`
    largest_difference: float | None = None  # of a logit; None where there is no answer to compare
    median_difference: float | None = None  # over the images, of the largest difference of each
    # images whose best class no difference within the bound can change, and those of them with the same class
    top1_decided: int = 0
    top1_equal: int = 0
    error: str = ""  # what kept the case from running
    passed: bool = False


def deviation(case: Case, logits: Logits) -> Deviation:
    """Compare what a runtime answers to the images of a case with the golden logits."""
    if logits.shape != case.logits.shape or not np.isfinite(logits).all():
        return Deviation(case.bound, error="the answers are not finite, or of another shape")
    differences = np.abs(logits - case.logits).max(axis=1)
    largest, median = float(differences.max()), float(np.median(differences))
    second, first = np.sort(case.logits, axis=1)[:, -2:].T
    decided = first - second > 2 * case.bound
    equal = (logits.argmax(axis=1) == case.logits.argmax(axis=1)) & decided
    return Deviation(
        bound=case.bound,
        largest_difference=largest,
        median_difference=median,
        top1_decided=int(decided.sum()),
        top1_equal=int(equal.sum()),
        passed=largest <= case.bound and median <= FLOAT_BOUND and bool((equal == decided).all()),
    )


@dataclass(frozen=True, kw_only=True)
class ConformanceRun(Deviation):
    """A case on a runtime, with a number of threads and of images in a call."""

    case: str
    target: str
    threads: int
    batch: int


def run_cases(cases: Sequence[Case], targets: Sequence[str] = ON_CPUS) -> Iterator[ConformanceRun]:
    """Build an engine of each case for each target, and run it in all ways that this machine can."""
    ways = product(cases, targets, (count for count in THREADS if count <= usable_cpus()))
    with temporary_folder() as folder:
        for case, target, threads in ways:
            engine = folder / f"{case.name}{find_target(target).suffix}"
            for batch, found in zip(BATCHES, _run(case, target, engine, threads), strict=True):
                yield ConformanceRun(
                    case=case.name, target=target, threads=threads, batch=batch, **asdict(found)
                )


def _run(case: Case, target: str, engine: Path, threads: int) -> list[Deviation]:
    """Build the engine where it is not there yet, and return what each of BATCHES gives."""
    try:
        made = open_artifact(engine) if engine.exists() else build_case(case, target, engine)
        with find_target(target).open_session(made, threads=threads) as session:
            return [deviation(case, _answers(session, case.images, batch)) for batch in BATCHES]
    except TargetError as error:
        return [Deviation(case.bound, error=error.message)] * len(BATCHES)


def _answers(session: Session, images: Images, batch: int) -> Logits:
    calls = [session.run(images[start : start + batch]) for start in range(0, len(images), batch)]
    return np.concatenate(calls)


def build_case(case: Case, target: str, engine: Path) -> Artifact:
    """Write an engine of a case for a target; raise TargetError where the runtime refuses it."""
    chosen = find_target(target)
    described = describe_engine(case.model, chosen, NO_OPTIONS)
    return write_engine(case.model, chosen, described, NO_OPTIONS, engine)
