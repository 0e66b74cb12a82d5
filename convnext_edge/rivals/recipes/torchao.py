"""Quantizing by torchao: an exported program for x86, which inductor compiles."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as xiq
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from convnext_edge.rivals.recipes.torch import as_call, compile_frozen
from convnext_edge.rivals.rival import Call, Given


def quantize(given: Given, folder: Path) -> Path:
    """Quantize with X86InductorQuantizer and its default configuration."""
    images = torch.from_numpy(given.images().copy())
    quantizer = xiq.X86InductorQuantizer()
    quantizer.set_global(xiq.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.load(given.program).module(), quantizer)
    with torch.no_grad():
        for image in images:
            prepared(image[None])
    return save(convert_pt2e(prepared), images[:1], folder)


def save(model: Any, example: Any, folder: Path) -> Path:
    """Write a quantized module as an exported program."""
    path, buffer = folder / "quantized.pt2", BytesIO()
    torch.export.save(torch.export.export(model, (example,)), buffer)
    path.write_bytes(buffer.getbuffer())
    return path


def run(path: Path, threads: int, *, cpp_wrapper: bool = False) -> Call:
    """Compile the quantized program by inductor, with constants folded (freezing)."""
    model = torch.export.load(path).module()
    return as_call(compile_frozen(model, cpp_wrapper=cpp_wrapper), threads)
