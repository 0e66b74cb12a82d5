"""Models of random weights, made to be timed.

Each is made in a process of its own: the system then has the memory back, and the largest need gigabytes.
Weights are rounded to nearest and ranges are extremes of few images, as speed depends on neither.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.reports import ROOT
from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.files import write_text
from convnext_edge.reading import Shape, check, parse_json

RECIPE = 'rounding = "nearest"\nrange = "minmax"\n'
CALIBRATION = 4  # images
AT_ONCE = 2  # models that are made side by side
RUNTIMES = ("openvino", "onnxruntime")
FP32, INT8 = "fp32", "int8"
BY_DEFAULTS = "NNCF in OpenVINO, quantize_static in ONNX Runtime, both with their defaults"
WEIGHTS = "torch fp32"  # names of files are those of what runs them: runtime and precision
OTHERS = ROOT / "build" / "others" / "bin" / "python"  # that `make others` makes
MADE = "made.json"  # in a folder that is complete

Files = dict[str, Path]  # by runtime and precision
P = ParamSpec("P")
R = TypeVar("R")


class NotMadeError(Exception):
    """Says why there is no such model here."""


class MadeShape(Shape):
    """Shape of what `kept` writes: names of files in the folder."""

    files: dict[str, str]


class CountsShape(Shape):
    """Shape of what `benchmarks.networks.others` prints."""

    params: int
    macs: int


def in_child(function: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    """Return what a function returns in a process of its own."""
    return in_children([partial(function, *arguments, **options)])[0]


def in_children(functions: Iterable[Callable[[], R]], *, at_once: int = 1) -> list[R]:
    """Return what functions return, each in a process of its own, some of them side by side."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, context, max_tasks_per_child=1) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


def kept(folder: Path, makers: Mapping[str, Callable[[Path], Files]]) -> dict[str, Files]:
    """Return what makers make, each in a folder of its name; those that a run before has made are kept."""
    missing = [name for name in makers if not (folder / name / MADE).exists()]
    in_children((partial(fill, folder / name, makers[name]) for name in missing), at_once=AT_ONCE)
    return {name: read_made(folder / name) for name in makers}


def fill(folder: Path, make: Callable[[Path], Files]) -> None:
    """Make files in a folder, and then what says that all of them are there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = {name: str(path.relative_to(folder)) for name, path in make(folder).items()}
    write_text(folder / MADE, json.dumps({"files": files}))


def read_made(folder: Path) -> Files:
    """Return the files that `fill` made."""
    found = parse_json((folder / MADE).read_bytes())
    check(found, MadeShape)
    return {name: folder / path for name, path in found["files"].items()}


# --- ConvNeXt, as this package makes it ------------------------------------------------------------


def make_ours(model: str | Architecture, size: int, folder: Path, *, large: bool = False) -> Files:
    """Export and quantize a ConvNeXt for both runtimes, and keep its weights for PyTorch.

    model: the name of a variant, or an architecture that no variant has. large: whether a process each, one
    after the other, is all that the memory allows.
    """
    files: Files = {}
    if large:
        for runtime in RUNTIMES:
            files |= in_child(export_for, runtime, model, size, folder / runtime)
            files |= in_child(quantize_for, runtime, files[f"{runtime} {FP32}"])
        return files
    makers = (partial(make_for, runtime, model, size, folder / runtime) for runtime in RUNTIMES)
    for made in in_children(makers, at_once=AT_ONCE):
        files |= made
    return files


def make_for(runtime: str, model: str | Architecture, size: int, folder: Path) -> Files:
    """Export and quantize a ConvNeXt for a runtime."""
    files = export_for(runtime, model, size, folder)
    return files | quantize_for(runtime, files[f"{runtime} {FP32}"])


def export_for(runtime: str, model: str | Architecture, size: int, folder: Path) -> Files:
    """Export a ConvNeXt for a runtime."""
    from convnext_edge import export

    folder.mkdir(parents=True)
    made = export(**chosen_model(model, folder), target=runtime, resolution=size, workspace=folder)
    return {f"{runtime} {FP32}": made.artifact, WEIGHTS: made.weights}


def quantize_for(runtime: str, plain: Path) -> Files:
    """Quantize an exported ConvNeXt for the runtime that it was exported for."""
    from convnext_edge import quantize

    recipe = plain.with_name("quick.toml")
    recipe.write_text(RECIPE, encoding="utf-8")
    made = quantize(
        plain,
        calib="demo",
        samples=CALIBRATION,
        target=runtime,
        recipe=recipe,
        timing=False,
        min_calibration_sqnr=0,  # random weights answer nearly nothing
        workspace=plain.parent,
    )
    return {f"{runtime} {INT8}": made.artifact}


def chosen_model(model: str | Architecture, folder: Path) -> dict[str, Any]:
    """Return the options of `export` for a model of random weights."""
    if isinstance(model, str):
        return {"variant": model, "random_weights": True}
    from safetensors.torch import save_file

    from convnext_edge.network.convnext import random_model

    checkpoint = folder / "checkpoint" / "random.safetensors"  # the workspace has one of that name
    checkpoint.parent.mkdir()
    save_file(random_model(model, 0).state_dict(), checkpoint)
    return {"checkpoint": checkpoint}


def file_bytes(path: Path) -> int:
    """Bytes of a file, with its weights where those are beside it."""
    beside = path.with_suffix(".bin") if path.suffix == ".xml" else path.with_name(f"{path.name}.data")
    return sum(found.stat().st_size for found in (path, beside) if found.exists())


# --- other networks, as users of NNCF and ONNX Runtime make them --------------------------------------


def noise_images(size: tuple[int, int]) -> list[NDArray[np.float32]]:
    """Return what other tools calibrate with, (1, 3, H, W) each. size: rows and columns."""
    random = np.random.default_rng(0)
    return [random.standard_normal((1, 3, *size), np.float32) for _ in range(CALIBRATION)]


def make_by_defaults(plain: Path, size: int, folder: Path) -> Files:
    """Quantize an FP32 ONNX file by the defaults of each runtime's own tool: see `BY_DEFAULTS`.

    NNCF takes ONNX too, but gives the input of some depthwise convolutions a zero point for each channel,
    which ONNX Runtime 1.31.1 refuses to run.
    """
    from benchmarks.support.baselines import nncf_quantize, ort_quantize

    images = noise_images((size, size))
    return {
        f"openvino {FP32}": plain,
        f"onnxruntime {FP32}": plain,
        f"openvino {INT8}": nncf_quantize(plain, images, folder / "nncf.xml"),
        f"onnxruntime {INT8}": ort_quantize(plain, images, folder / "static.onnx"),
    }


def make_step(name: str, size: int, folder: Path, *, for_torch: bool = False) -> Files:
    """Export a network of the road and quantize it. for_torch: whether PyTorch is to run it, too."""
    import torch

    from benchmarks.networks.roadmap import STEPS, make_network
    from convnext_edge.network.exporter import exporter
    from convnext_edge.onnx_graph.tracing import Graph, write_onnx

    network, example = make_network(STEPS[name]), torch.randn(2, 3, size, size)
    plain, program = folder / "plain.onnx", folder / "program.pt2"
    write_onnx(network, example, plain, Graph(["logits"]))
    files = make_by_defaults(plain, size, folder)
    if for_torch:
        with exporter():
            torch.export.save(torch.export.export(network, (example[:1],)), program)
        files[WEIGHTS] = program
    return files


def count_step(name: str) -> dict[str, int]:
    """Return the weights and multiply-adds of a network of the road."""
    import torch

    from benchmarks.networks.counts import macs, parameters
    from benchmarks.networks.roadmap import STEPS, Network

    with torch.device("meta"):
        network = Network(STEPS[name])  # with its BatchNorms
    return {"params": parameters(network), "macs": macs(network)}


def make_other(size: int, folder: Path) -> Files:
    """Make ONNX of the programs that `write_programs` wrote, for one image, and quantize it."""
    import torch

    from convnext_edge.artifacts.opsets import USUAL
    from convnext_edge.network.exporter import exporter

    plain = folder / "plain.onnx"
    with exporter():
        loaded = torch.export.load(folder / "for_onnx.pt2")
        options: dict[str, Any] = {"opset_version": USUAL, "input_names": ["image"], "verbose": False}
        made = torch.onnx.export(loaded, dynamo=True, **options)
        assert made is not None
        made.save(plain)
    return {**make_by_defaults(plain, size, folder), WEIGHTS: folder / "program.pt2"}


def write_programs(name: str, folder: Path, python: Path) -> dict[str, int]:
    """Let another environment write a network of its library; return its counts. Raises NotMadeError."""
    if not python.exists():
        raise NotMadeError(f"{python} does not exist; make others makes it")
    command = [str(python), "-m", "benchmarks.networks.others", name, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise NotMadeError(f"{python} made no {name}: {lines[-1] if lines else 'it said nothing'}")
    counts: dict[str, int] = parse_json(done.stdout.strip().splitlines()[-1])
    check(counts, CountsShape)
    return counts
