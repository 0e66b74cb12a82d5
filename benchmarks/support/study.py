"""The candidates of `fidelity.py`: one trained model, quantized by every method for every runtime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.support.baselines import calibration_images, nncf_quantize, ort_quantize
from benchmarks.support.rescale import write_rescaled
from convnext_edge import export, quantize
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.quantize.methods import Method
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.targets.base import Images, Outputs, Session
from convnext_edge.targets.onnxruntime import ONNXRuntimeSession
from convnext_edge.targets.openvino import OpenVINOSession
from convnext_edge.targets.registry import find_target

OPENVINO, ORT, TORCH = "openvino", "onnxruntime", "torch"
NNCF, STATIC = "nncf.quantize", "quantize_static"
REFERENCE, RESCALED = "reference", "ptq, LayerNorm rescaled"
THREADS = 1  # of each session: the idle threads of many would disturb each other

JITTERED = "simulation, input jittered"
JITTER = 3e-7  # of the input's deviation, 130 dB below it: what FP32 in two runtimes differs by

Name = tuple[str, str]  # method, and where it runs
Named = Iterator[tuple[Name, Session]]


@dataclass(frozen=True)
class Study:
    """One trained model, and the images to calibrate it. plain: the FP32 export of `weights`."""

    workspace: Path
    plain: Path
    weights: Path
    preprocessing: Preprocessing
    calib: str
    calibration: ImageSet

    def quantize(self, plain: Path, target: str, method: Method = "ptq") -> Path:
        made = quantize(
            plain,
            calib=self.calib,
            samples=len(self.calibration),
            target=target,
            method=method,
            timing=False,
            workspace=self.workspace,
        )
        return made.artifact


def candidates(study: Study) -> Named:
    """The reference and all that is held against it."""
    yield (REFERENCE, TORCH), open_own(study.weights, TORCH)
    yield from same_file(study)
    yield from other_methods(study)
    yield from baselines(study)
    yield from rescaled(study)


def against_defaults(study: Study) -> Named:
    """The reference, our file for each target, what each rival gives by default, and the hard case."""
    yield (REFERENCE, TORCH), open_own(study.weights, TORCH)
    for target in (OPENVINO, ORT):
        yield (own_file(target), target), open_own(study.quantize(study.plain, target), target)
    yield from baselines(study, variants=False)
    yield from rescaled(study)


def open_own(path: Path, target: str) -> Session:
    return find_target(target).open_session(open_artifact(path), threads=THREADS)


class Jittered(Session):
    """A session whose input has the noise of float arithmetic: what it answers, no other runtime can better.

    A value next to a rounding boundary goes to the other code for the least difference, which moves values
    of the next layer over theirs.
    """

    runner = JITTERED

    def __init__(self, session: Session) -> None:
        self.session, self.generator = session, np.random.default_rng(0)

    def _run(self, images: Images) -> Outputs:
        noise = JITTER * images.std() * self.generator.standard_normal(images.shape)
        return self.session.run_all((images + noise).astype(np.float32))


def own_file(target: str) -> str:
    return f"ptq for {target}"


def same_file(study: Study) -> Named:
    """The file made for each target in every runtime; in its own target, that is our default method."""
    for made_for in (OPENVINO, ORT):
        path, name = study.quantize(study.plain, made_for), own_file(made_for)
        yield (name, "simulation"), open_own(path, TORCH)
        yield (name, JITTERED), Jittered(open_own(path, TORCH))
        yield (name, OPENVINO), OpenVINOSession(path, THREADS)
        yield (name, ORT), ONNXRuntimeSession(path, THREADS)
        yield (name, f"{ORT} unoptimized"), ONNXRuntimeSession(path, THREADS, optimized=False)


def other_methods(study: Study) -> Named:
    methods: tuple[tuple[Method, str], ...] = (("nncf", OPENVINO), ("nncf", ORT), ("ort", ORT))
    for method, target in methods:
        yield (f"--method {method}", target), open_own(study.quantize(study.plain, target, method), target)


def baselines(study: Study, *, variants: bool = True) -> Named:
    """The rivals with their defaults, and with the setting that each has for such models."""
    images = calibration_images(study.calibration, study.preprocessing)
    settings = (False, True) if variants else (False,)
    for transformer in settings:
        name = f"{NNCF}, TRANSFORMER" if transformer else NNCF
        path = nncf_quantize(study.plain, images, study.workspace / f"{name}.xml", transformer=transformer)
        yield (name, OPENVINO), OpenVINOSession(path, THREADS)
    for per_channel in settings:
        name = f"{STATIC}, per channel" if per_channel else STATIC
        path = ort_quantize(study.plain, images, study.workspace / f"{name}.onnx", per_channel=per_channel)
        yield (name, ORT), ONNXRuntimeSession(path, THREADS)


def rescaled(study: Study) -> Named:
    same = study.preprocessing
    apart = study.workspace / "checkpoint"  # `export` keeps weights of that name in the workspace
    apart.mkdir()
    exported = export(
        checkpoint=write_rescaled(study.weights, apart / "rescaled.safetensors"),
        resolution=same.resolution,
        crop=same.crop,
        resize_mode=same.resize_mode,
        mean=same.mean,
        std=same.std,
        workspace=study.workspace,
    )
    for target in (OPENVINO, ORT):
        yield (RESCALED, target), open_own(study.quantize(exported.artifact, target), target)
