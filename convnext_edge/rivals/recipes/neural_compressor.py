"""Intel Neural Compressor: its static quantization of an exported program, which inductor compiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from neural_compressor.torch.quantization import convert, get_default_static_config, prepare

from convnext_edge.rivals.recipes.torchao import save
from convnext_edge.rivals.rival import Given


def quantize(given: Given, folder: Path) -> Path:
    """Quantize with the default configuration."""
    images = torch.from_numpy(given.images().copy())
    prepared = prepare(exported(given), get_default_static_config())
    with torch.no_grad():
        for image in images:
            prepared(image[None])
    return save(convert(prepared), images[:1], folder)


def exported(given: Given) -> Any:
    """Return the model as `neural_compressor.torch.export.export` would.

    That exports a module by torch.export and marks what comes of it. Exported a second time, a program no
    longer tells which functions it was made of, and nothing would be quantized.
    """
    model: Any = torch.export.load(given.program).module()
    model._exported, model.dynamic_shapes = True, None
    return model
