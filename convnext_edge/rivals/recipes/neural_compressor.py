"""Intel Neural Compressor: its static quantization of an exported program, which inductor compiles."""

from __future__ import annotations

from pathlib import Path

import torch
from neural_compressor.torch.export import export
from neural_compressor.torch.quantization import convert, get_default_static_config, prepare

from convnext_edge.rivals.recipes.torchao import save
from convnext_edge.rivals.rival import Given


def quantize(given: Given, folder: Path) -> Path:
    """Quantize with the default configuration."""
    images = torch.from_numpy(given.images().copy())
    model = torch.export.load(given.program).module()
    vars(model)["eval"] = lambda: model  # it was exported so; what torch.export loads refuses to be asked
    exported = export(model, example_inputs=(images[:1],))
    prepared = prepare(exported, get_default_static_config())
    with torch.no_grad():
        for image in images:
            prepared(image[None])
    return save(convert(prepared), images[:1], folder)
