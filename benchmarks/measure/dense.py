"""UPerNet and the dense part of Mask R-CNN, both on ConvNeXt-T: INT8 against PyTorch and rivals.

    python -m benchmarks.measure.dense

UPerNet at 512x512 with 150 classes. Of Mask R-CNN, at 800x1280, what runs once for each picture: the
backbone, the pyramid, and the layers that tell proposals; the heads behind them run once for each box.
Random weights and few calibration images, as speed depends on neither. Timed are FP32 in PyTorch, and in a
runtime FP32, ours, and what the runtime's own quantizer makes of the same plain export by its defaults: NNCF
for OpenVINO, `quantize_static` for ONNX Runtime; in turns, on one thread: see benchmarks/support/turns.py.
In OpenVINO each model has a second row, in which oneDNN and PyTorch were told to use no instructions beyond
AVX2, as the kernels of both heed that.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.support.long_runs import LongRun, Plan, Row, figures, long_options
from benchmarks.support.making import Files, chosen_model, file_bytes, kept, noise_images, quantize_for
from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import Contender, ratio, take_turns
from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.cpu import read_cpu
from convnext_edge.detection import Detection
from convnext_edge.guest import variables_set

if TYPE_CHECKING:
    from convnext_edge.network.convnext import ConvNeXt

TORCH, OURS = "PyTorch FP32", "ours"
PLAIN = {"openvino": "OpenVINO FP32", "onnxruntime": "ONNX Runtime FP32"}
RIVAL = {"openvino": "NNCF, defaults", "onnxruntime": "quantize_static, defaults"}
MODELS: dict[str, tuple[int, int]] = {"UPerNet-T": (512, 512), "dense part of Mask R-CNN-T": (800, 1280)}
OVER_TORCH = {True: 4.0, False: 2.0}  # bars on the speedup, where 8-bit dot products exist and where not
OVER_NNCF = 1.6
OVER_STATIC = 1.0
LAST = "decoder.rpn.objectness+deltas"  # how the names of the last layers begin, one of each level
MOVES = ("Identity", "Slice", "Transpose", "Reshape")  # what is done behind them to logits and deltas


def make_upernet(runtime: str, folder: Path) -> Files:
    """Export UPerNet-T, and quantize it by us and by the runtime's own quantizer."""
    from convnext_edge import export

    size = MODELS["UPerNet-T"]
    ours = export(
        variant="upernet_tiny",
        random_weights=True,
        target=runtime,
        resolution=size,
        workspace=folder / "ours",
    )
    plain = export(variant="upernet_tiny", random_weights=True, resolution=size, workspace=folder / "plain")
    return {
        TORCH: ours.weights,
        OURS: engine_of(runtime, quantize_for(runtime, ours.artifact)[f"{runtime} int8"]),
        **of_plain(runtime, plain.artifact, size, folder),
    }


def make_detector(runtime: str, folder: Path) -> Files:
    """Export Mask R-CNN-T, and quantize it by us, of which the dense part is kept, and by the rival."""
    from convnext_edge import export

    size = MODELS["dense part of Mask R-CNN-T"]
    (folder / "plain").mkdir()
    chosen = chosen_model(architecture(), folder / "plain")
    plain = export(**chosen, resolution=size, workspace=folder / "plain")
    ours = export(checkpoint=plain.weights, target=runtime, workspace=folder / "ours")
    made = quantize_for(runtime, ours.artifact)[f"{runtime} int8"]
    part = write_dense(plain.weights, size, folder)
    return {
        TORCH: part["program"],
        OURS: engine_of(runtime, cut_out(made, folder / "ours.onnx")),
        **of_plain(runtime, part["onnx"], size, folder),
    }


def engine_of(runtime: str, model: Path) -> Path:
    """Return an ONNX file as it is opened: in ONNX Runtime, what `build` makes of it."""
    from convnext_edge.targets.registry import find_target

    if runtime != "onnxruntime":
        return model
    engine = model.with_suffix(".opt.onnx")
    find_target(runtime).build(model, engine)
    return engine


def architecture() -> Architecture:
    """Return Mask R-CNN on ConvNeXt-T with torchvision's widths and COCO's classes."""
    backbone = replace(SIZES["tiny"], classes=91, last_norm=False, pooled=False, maps=(0, 1, 2, 3))
    return replace(
        backbone,
        decoder="mask_rcnn",
        decoder_width=256,
        box_width=1024,
        mask_width=256,
        detection=Detection("torchvision"),
    )


def of_plain(runtime: str, plain: Path, size: tuple[int, int], folder: Path) -> Files:
    """Return a plain export, and what the runtime's own quantizer makes of it."""
    from benchmarks.support.baselines import nncf_quantize, ort_quantize

    images = noise_images(size)
    if runtime == "openvino":
        made = nncf_quantize(plain, images, folder / "nncf.xml")
    else:
        made = ort_quantize(plain, images, folder / "static.onnx")
    return {PLAIN[runtime]: plain, RIVAL[runtime]: made}


def write_dense(weights: Path, size: tuple[int, int], folder: Path) -> Files:
    """Write the dense part of the reference as an exported program, and as ONNX."""
    import torch

    from benchmarks.support.turns import load_module
    from convnext_edge.network.exporter import exporter
    from convnext_edge.onnx_graph.tracing import Graph, write_onnx

    part, example = dense_part(load_module(weights)), torch.randn(2, 3, *size)
    with torch.no_grad():
        count = len(part(example[:1]))
    write_onnx(part, example, folder / "dense.onnx", Graph([f"output{number}" for number in range(count)]))
    with exporter():
        torch.export.save(torch.export.export(part, (example[:1],)), folder / "dense.pt2")
    return {"program": folder / "dense.pt2", "onnx": folder / "dense.onnx"}


def dense_part(model: ConvNeXt) -> Any:
    """Return a detector as far as the layers that tell proposals: their logits and deltas, level by level."""
    from torch import Tensor, nn

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            heads: Any = self.model.decoder
            levels = heads.pyramid(self.model.feature_maps(x)[1])
            return tuple(y for level, each in enumerate(levels) for y in heads.rpn(each, level))

    return Dense().eval()


def cut_out(model: Path, path: Path) -> Path:
    """Write the part of a detector's graph that ends with logits and deltas, arranged by anchors."""
    import onnx

    loaded = onnx.shape_inference.infer_shapes(onnx.load(model))
    layers = [node for node in loaded.graph.node if node.name.startswith(LAST)]
    ends = [end for layer in layers for end in moved(loaded, biased(loaded, layer.output[0]))]
    names = [value.name for value in loaded.graph.input]
    onnx.save(onnx.utils.Extractor(loaded).extract_model(names, ends), path)
    return path


def biased(model: Any, name: str) -> str:
    """Return the name of a product's value behind the bias, where an operator of its own adds it."""
    from convnext_edge.onnx_graph.lookup import consumers, initializers

    constants = initializers(model)
    added = [
        node.output[0]
        for node in consumers(model, name)
        if node.op_type == "Add" and not constants.keys().isdisjoint(node.input)
    ]
    return added[0] if added else name


def moved(model: Any, name: str) -> list[str]:
    """Return the names of what the values become as long as they are only moved."""
    from convnext_edge.onnx_graph.lookup import consumers

    users = [node for node in consumers(model, name) if node.op_type in MOVES]
    return [end for node in users for end in moved(model, node.output[0])] or [name]


MAKERS = {"UPerNet-T": make_upernet, "dense part of Mask R-CNN-T": make_detector}
HELD = "AVX2 alone"
HELD_BY = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def row_of(name: str, run: LongRun, *, runtime: str = "openvino", held: bool = False) -> Row:
    """Time all contenders of a model in turns."""
    place = name if runtime == "openvino" else in_runtime(name, runtime)
    files = kept(run.scratch, {place: partial(MAKERS[name], runtime)})[place]
    rival = RIVAL[runtime]
    runtimes = {TORCH: "torch", PLAIN[runtime]: runtime, OURS: runtime, rival: runtime}
    contenders = {who: Contender(runtimes[who], files[who], MODELS[name]) for who in runtimes}
    with variables_set(HELD_BY if held else {}):
        times = take_turns(contenders, 1, run.plan.runs, seconds=run.plan.seconds)
    return {
        "model": name,
        "runtime": runtime,
        "held_to_avx2": held,
        "timed": {who: figures(calls) for who, calls in times.items()},
        "bytes": {who: file_bytes(files[who]) for who in runtimes},
        "ours_over": {who: ratio(times, who, OURS) for who in runtimes if who != OURS},
    }


def in_runtime(name: str, runtime: str) -> str:
    return f"{name}, {runtime}"


def check(rows: dict[str, Row]) -> list[Bar]:
    """The bars of all rows that were timed."""
    bars = []
    for name, row in rows.items():
        if "failed" not in row:
            over = row["ours_over"]
            bars += [
                Bar(f"{name}: ours over {who}", over[who]["ratio"], at_least=least)
                for who, least in asked(row).items()
            ]
    return bars


def asked(row: Row) -> dict[str, float]:
    """Return how many times as fast as which others ours has to be."""
    if row["runtime"] == "onnxruntime":
        return {RIVAL["onnxruntime"]: OVER_STATIC}
    dot_products = not row["held_to_avx2"] and not read_cpu().int8_saturates
    return {TORCH: OVER_TORCH[dot_products], RIVAL["openvino"]: OVER_NNCF}


@click.command()
@long_options(runs=15, seconds=90.0, minutes=20.0)
@report_options
def main(plan: Plan, reporting: Reporting) -> None:
    """Time INT8 of dense prediction against PyTorch, the runtimes in FP32, and their own quantizers."""
    run = LongRun("dense", plan, reporting)
    wanted = {name: partial(row_of, name, run) for name in MODELS}
    wanted |= {
        in_runtime(name, "onnxruntime"): partial(row_of, name, run, runtime="onnxruntime") for name in MODELS
    }
    if "avx512f" in read_cpu().isa:
        wanted |= {f"{name}, {HELD}": partial(row_of, name, run, held=True) for name in MODELS}
    rows = run.measure(wanted)
    measured = {"model": "random weights, batch 1, one thread", "rows": rows}
    run.finish(measured, check(rows), of=len(plan.only or wanted))


if __name__ == "__main__":
    main()
