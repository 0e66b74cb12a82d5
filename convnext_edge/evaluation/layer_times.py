"""How much faster each layer is in INT8 than in FP32, as the runtime itself times its kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.images.noise import noise
from convnext_edge.onnx_graph.files import load, save
from convnext_edge.onnx_graph.qdq import drop_quantization
from convnext_edge.progress import note, track
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.ptq import Calibrated, quantize_calibrated
from convnext_edge.targets.base import Images, LayerTime, Target

ROUNDS = 7  # sessions of each model
PROFILES = 3  # sessions of a model that is timed alone
Times: TypeAlias = dict[str, float]  # milliseconds of each layer by name


class LayerPair(NamedTuple):
    """The milliseconds of a layer in either precision."""

    fp32: float
    int8: float

    @property
    def saved(self) -> float:
        """By how much the layer is faster in INT8."""
        return round(self.fp32 - self.int8, 4)


class Timer(Protocol):
    """What times the layers of ONNX files, in a session for each call."""

    def __call__(
        self, files: Sequence[Path], image: Images
    ) -> AbstractContextManager[Callable[[Path], Times | None]]:
        """Make the files ready to be timed with an image, and yield what times one of them."""
        ...


def timer_here(target: Target, *, runs: int, threads: int) -> Timer:
    """Return what times the layers on this machine. runs: calls of the model in each session."""

    @contextmanager
    def ready(files: Sequence[Path], image: Images) -> Iterator[Callable[[Path], Times | None]]:
        def measure(path: Path) -> Times | None:
            found = target.time_layers(path, image, runs=runs, threads=threads)
            return None if found is None else {name: layer.milliseconds for name, layer in found.items()}

        yield measure

    return ready


def time_pairs(job: Job, calibrated: Calibrated, timer: Timer) -> dict[str, LayerPair]:
    """Return the milliseconds of each quantized layer in FP32 and in INT8, by its name.

    The result is empty where the runtime does not time layers.

    The time of a kernel includes what is fused into it: in OpenVINO bias, activation and residual sum.
    In ONNX Runtime it includes quantizing the input; in OpenVINO that is part of the layer before. Whole
    calls could not tell the difference: one layer takes a hundredth of a call, and on a busy machine calls
    differ by more than that.
    """
    with temporary_folder() as folder:
        fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
        quantize_calibrated(job, calibrated).write(int8)
        model = load(int8)
        drop_quantization(model)
        save(model, fp32)
        image = noise(job.source.preprocessing.shape, job.input_type, batch=1)

        with timer([fp32, int8], image) as measure:
            before, after = (medians(rounds) for rounds in in_turns(measure, [fp32, int8]))
    if not before:
        note(f"{job.target} does not report the time of single layers")
    return {
        name: LayerPair(round(before[name], 4), round(after[name], 4))
        for name in calibrated.quantized_layers
        if name in before and name in after
    }


def profile(
    artifact: Artifact, target: Target, *, batch: int, runs: int, threads: int
) -> dict[str, LayerTime]:
    """Return the time of each layer of a model or engine, in calls of `batch` images.

    They are those of one session, the fastest of a few: what else the machine does only adds to times.
    """
    described = artifact.description
    images = noise(described.preprocessing.shape, described.input_type, batch=batch)
    seen = [
        target.time_layers(
            artifact.path, images, runs=runs, threads=threads, weights_only=described.weights_only
        )
        or {}
        for _ in track(range(PROFILES), "timing layers", total=PROFILES)
    ]
    return min(seen, key=lambda times: sum(layer.milliseconds for layer in times.values()))


def in_turns(measure: Callable[[Path], Times | None], paths: list[Path]) -> list[list[Times]]:
    """Return the layer times of `ROUNDS` sessions of each model, the models in turn.

    The lists are empty where the runtime does not time layers.
    """
    seen: list[list[Times]] = [[] for _ in paths]
    for _ in track(range(ROUNDS), "timing", total=ROUNDS):
        for times, path in zip(seen, paths, strict=True):
            found = measure(path)
            if found is None:
                return seen
            times.append(found)
    return seen


def medians(rounds: list[Times]) -> Times:
    """Return the median time of each layer.

    A runtime averages over a session, so that one interruption spoils only one round of a layer.
    """
    # the nodes that the runtime adds have other names in each session
    names = set.intersection(*map(set, rounds)) if rounds else set[str]()
    return {name: float(np.median([times[name] for times in rounds])) for name in names}
