"""Layers whose weights are all zero, as training may leave them: they are quantized like any other."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch

from convnext_edge import quantize
from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.quantization.smooth import smoothing_factor

# What their names begin with, and the recipe.
DEAD = [
    ("stages.1.blocks.0.pwconv1.", ""),
    ("stages.1.blocks.0.norm.", 'range = "minmax"'),
    ("stages.1.blocks.0.dwconv.", "weight_bits = 4"),
    ("stages.1.blocks.0.pwconv2.", 'rounding = "nearest"'),
    ("stages.1.downsample.", 'activation = "uint16"'),
    ("norm.", ""),
    ("", "depthwise = true"),
]


@pytest.mark.parametrize(("dead", "recipe"), DEAD, ids=[dead or "all" for dead, _ in DEAD])
@pytest.mark.slow(seconds=15)
def test_a_layer_of_zeros_is_quantized(dead: str, recipe: str, photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = ConvNeXt(Architecture((1, 1), (16, 24), classes=10)).state_dict()
    state = {name: torch.zeros_like(t) if name.startswith(dead) else t for name, t in state.items()}
    torch.save(state, tmp_path / "dead.pth")
    (tmp_path / "recipe.toml").write_text(recipe)
    made = quantize(
        checkpoint=tmp_path / "dead.pth",
        calib=str(photos),
        samples=2,
        target="onnxruntime",
        recipe=tmp_path / "recipe.toml",
        timing=False,
        workspace=tmp_path,
    )
    images = example_input((3, 224, 224), "float32")
    with torch.inference_mode():
        expected = load_checkpoint(tmp_path / "dead.pth").model(images)
    session = onnxruntime.InferenceSession(str(made.artifact), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images.numpy()})
    noise = float((torch.from_numpy(logits) - expected).square().sum())
    assert noise <= 3e-2 * float(expected.square().sum())  # of 4 bits, 2 %; zero where all is dead


@pytest.mark.parametrize(("activation", "weight"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_channels_that_are_all_dead_are_scaled_alike(activation: float, weight: float) -> None:
    factor = smoothing_factor(torch.full((4,), activation), torch.full((4,), weight), 0.5)
    assert factor.tolist() == pytest.approx([1, 1, 1, 1])
