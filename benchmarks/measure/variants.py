"""The classification table of the ConvNeXt paper with columns of the edge: each size in each runtime.

    make others                              # PyTorch with transformers, for Swin-T and DeiT-S
    python -m benchmarks.measure.variants

Weights are random: speed and sizes mean something, answers do not. Top-1 is what was published of trained
ones, with its source. Timed are FP32, bfloat16 (in OpenVINO, where the CPU multiplies it; ONNX Runtime's
provider for CPUs has no such products) and INT8, one image at a time on one thread, and FP32 in PyTorch.
A row's models have a process each and take turns: see benchmarks/support/turns.py. ConvNeXt is quantized by
us, other networks by the defaults of NNCF (OpenVINO) and of `quantize_static` (ONNX Runtime). A run that was
stopped goes on: see benchmarks/support/long_runs.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from benchmarks.support.kernel_lists import MULTIPLIES
from benchmarks.support.long_runs import LongRun, Plan, Row, figures, long_options
from benchmarks.support.making import (
    BY_DEFAULTS,
    FP32,
    OTHERS,
    Files,
    count_step,
    file_bytes,
    in_child,
    make_other,
    make_ours,
    make_step,
    write_programs,
)
from benchmarks.support.reports import Reporting, report_options
from benchmarks.support.turns import Contender, ratio, take_turns
from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.sizes import UNPUBLISHED
from convnext_edge.checkpoints.variants import find_variant
from convnext_edge.cpu import read_cpu

BF16 = "openvino bf16"
LARGE = 500e6  # weights: of such a model, no more is in memory at a time than must be
# In the order of the table, small ones first in each part: what a stopped run has is then the most.
V1 = ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "xlarge")
V2 = tuple(f"v2_{size}" for size in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge"))
RMS = ("zepto_rms", "zepto_rms_ols", "atto_rms")
DINO = tuple(f"{size}.dinov3_lvd1689m" for size in ("tiny", "small", "base", "large"))
AT_384 = ("tiny.fb_in22k_ft_in1k_384", "base.fb_in22k_ft_in1k_384")
NAMES = (*V1, *V2, *RMS, *DINO, *AT_384)

AUTHORS = "README of facebookresearch/ConvNeXt"
AUTHORS_V2 = "README of facebookresearch/ConvNeXt-V2"
TIMM = "results-imagenet.csv of timm"


class Other(NamedTuple):
    """A network that the paper has in its tables, and what was published of it."""

    top1: float
    source: str
    definition: str


OTHER_NETWORKS = {
    "ResNet-50": Other(0.788, "table 10 of arXiv:2201.03545", "benchmarks/networks/roadmap.py"),
    "Swin-T": Other(0.813, "arXiv:2103.14030", "transformers"),
    "DeiT-S": Other(0.798, "arXiv:2012.12877", "transformers"),
}


def row_of_ours(name: str, plan: Plan, scratch: Path) -> Row:
    """Measure a ConvNeXt."""
    told: Row
    model: str | Architecture
    if name in UNPUBLISHED:
        architecture, size, told = UNPUBLISHED[name], 224, {"top1": None, "source": None}
        model = architecture
    else:
        variant = find_variant(name)
        architecture, size, model = variant.architecture, variant.resolution, name
        told = {"top1": variant.published_top1, "source": source_of(variant.source, variant.published_top1)}
    head = {"kind": "convnext", "generation": architecture.generation, "resolution": size, **told}
    counts = {"params": architecture.params, "macs": architecture.macs(size), "int8_by": "convnext-edge"}
    large = architecture.params > LARGE
    files = make_ours(model, size, scratch, large=large)
    return {**head, **counts, **timed(files, size, plan, large=large)}


def source_of(repository: str, top1: float | None) -> str | None:
    """Where the accuracy of a variant was published, as checkpoints/published.py tells by tags."""
    if top1 is None:
        return None
    tag = repository.rpartition(".")[2]
    return AUTHORS if tag.startswith("fb_") else AUTHORS_V2 if tag.startswith("fcmae_") else TIMM


def row_of_other(name: str, python: Path, plan: Plan, scratch: Path) -> Row:
    """Measure a network that is no ConvNeXt."""
    known = OTHER_NETWORKS[name]
    if name == "ResNet-50":
        counts = in_child(count_step, name)
        files = in_child(make_step, name, 224, scratch, for_torch=True)
    else:
        counts = write_programs(name.lower().replace("-", "_"), scratch, python)
        files = in_child(make_other, 224, scratch)
    head = {"kind": "other", "generation": None, "resolution": 224, "definition": known.definition}
    told = {"top1": known.top1, "source": known.source, "int8_by": BY_DEFAULTS}
    return {**head, **told, **counts, **timed(files, 224, plan)}


def timed(files: Files, size: int, plan: Plan, *, large: bool = False) -> Row:
    """Time all files of a network in turns; of a large one, those of each runtime for themselves."""
    contenders = {name: Contender(name.split()[0], path, size) for name, path in files.items()}
    fp32 = files[f"openvino {FP32}"]
    in_bfloat16 = in_child(bfloat16_layers, fp32) if read_cpu().multiplies_bfloat16 else 0
    if in_bfloat16:
        contenders[BF16] = Contender("openvino", fp32, size, bfloat16=True)
    times: dict[str, np.ndarray] = {}
    for group in by_runtime(contenders) if large else [contenders]:
        times |= take_turns(group, 1, plan.runs, seconds=plan.seconds)
    gains = {name: ratio(times, f"{name.split()[0]} {FP32}", name) for name in times if FP32 not in name}
    return {
        "bytes": {name: file_bytes(path) for name, path in files.items()},
        "bfloat16_layers": in_bfloat16,
        "turns": "of each runtime" if large else "of all",
        "timed": {name: figures(calls) for name, calls in times.items()},
        "times_fp32": gains,
    }


def by_runtime(contenders: dict[str, Contender]) -> list[dict[str, Contender]]:
    """Contenders in groups whose processes fit into memory together."""
    runtimes = dict.fromkeys(contender.runtime for contender in contenders.values())
    return [{n: c for n, c in contenders.items() if c.runtime == runtime} for runtime in runtimes]


def bfloat16_layers(model: Path) -> int:
    """Count the convolutions and products that OpenVINO computes in bfloat16 where it is asked to."""
    import openvino

    compiled = openvino.Core().compile_model(str(model), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return sum(
        str(info["layerType"].value) in MULTIPLIES and "bf16" in str(info["runtimePrecision"].value).lower()
        for info in told
        if "layerType" in info
    )


def cells(run: LongRun, python: Path) -> Iterator[tuple[str, Callable[[], Row]]]:
    """The rows, each with what measures it in a folder that is gone behind it."""

    def alone(measure: Callable[[Path], Row]) -> Row:
        shutil.rmtree(run.scratch, ignore_errors=True)
        run.scratch.mkdir(parents=True)
        try:
            return measure(run.scratch)
        finally:
            shutil.rmtree(run.scratch, ignore_errors=True)

    for name in OTHER_NETWORKS:
        yield name, partial(alone, partial(row_of_other, name, python, run.plan))
    for name in NAMES:
        yield name, partial(alone, partial(row_of_ours, name, run.plan))


@click.command()
@click.option(
    "--others",
    "python",
    type=click.Path(path_type=Path),
    default=OTHERS,
    help="Python that has PyTorch and transformers.  [default: that of `make others`]",
)
@long_options(runs=15, seconds=8.0, minutes=40.0)
@report_options
def main(python: Path, plan: Plan, reporting: Reporting) -> None:
    """Time every size of ConvNeXt, and what the paper holds it against."""
    run = LongRun("variants", plan, reporting)
    rows = run.measure(dict(cells(run, python.absolute())))
    measured = {
        "model": "random weights, batch 1, one thread",
        "bfloat16": BF16 if read_cpu().multiplies_bfloat16 else None,
        "rows": rows,
    }
    run.finish(measured, [], of=len(plan.only or (*OTHER_NETWORKS, *NAMES)))


if __name__ == "__main__":
    main()
