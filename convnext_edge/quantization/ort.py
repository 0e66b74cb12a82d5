"""ONNX Runtime's `quantize_static` as its users call it: on the plain export, with its defaults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.onnx_graph.files import load, save, write_metadata
from convnext_edge.onnx_graph.gelu import find_gelu
from convnext_edge.onnx_graph.naming import INPUT, strip_notes
from convnext_edge.onnx_graph.qdq import placement
from convnext_edge.onnx_graph.tracing import write_onnx
from convnext_edge.progress import note
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quiet import quiet


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """A reader that hands one calibration image after the other to ONNX Runtime."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches = batches

    def get_next(self) -> dict[str, Any] | None:
        images = next(self.batches, None)
        return None if images is None else {INPUT: images}


def quantize_ort(job: Job) -> Quantized:
    """Quantize with ONNX Runtime; the recipe has no say in it."""
    with temporary_folder() as folder, quiet():
        plain, prepared, made = (folder / name for name in ("plain.onnx", "prepared.onnx", "made.onnx"))
        write_onnx(job.lowered(), job.example(), plain, job.graph())
        prepare(plain, prepared)
        quantize_static(
            str(prepared),
            str(made),
            Reader(job.batches("calibrating", size=1)),
            # the operator Gelu stays float by default, and so does what stands for it below opset 20
            nodes_to_exclude=find_gelu(load(prepared)),
        )
        model = load(made)
    strip_notes(model)
    write_metadata(model, job.graph().metadata)
    return Quantized(placement(model), lambda path: save(model, path))


def prepare(plain: Path, prepared: Path) -> None:
    """Let ONNX Runtime optimize a graph and write down its shapes, as it wants it before it quantizes."""
    try:
        quant_pre_process(str(plain), str(prepared))
    except (
        Exception
    ) as error:  # its symbolic shapes do not get through the norm of V2, and it may be any error
        note(f"without ONNX Runtime's symbolic shapes, which fail here ({type(error).__name__})")
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
