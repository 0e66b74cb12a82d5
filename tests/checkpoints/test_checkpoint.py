"""Checkpoints of every layout answer as the library that wrote them, in whatever they are wrapped."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.checkpoints import FIXTURES, UNUSUAL, fixture, write

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.loading import Checkpoint, load_checkpoint, load_weights
from convnext_edge.network.convnext import ConvNeXt

LAYOUTS = [
    "official_v1.pth",
    "official_v2.pth",
    "timm_v1.safetensors",
    "timm_v1_conv_mlp.pth",
    "timm_v2.safetensors",
    "torchvision_v1.pth",
    "transformers_v1.safetensors",
    "transformers_v2.safetensors",
]
V1 = Architecture(depths=(1, 1, 2, 1), dims=(16, 24, 32, 48), classes=10)
V2 = Architecture(depths=(1, 1, 2, 1), dims=(16, 24, 32, 48), classes=10, grn=True, layer_scale=False)


def answers(checkpoint: Checkpoint) -> np.ndarray:
    with torch.no_grad():
        return checkpoint.model(torch.from_numpy(np.load(FIXTURES / "input.npy"))).numpy()


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_answers_as_its_own_library_does(name: str) -> None:
    stem = Path(name).stem
    checkpoint = load_checkpoint(FIXTURES / name)
    assert checkpoint.layout == stem
    known = V2 if stem.endswith("v2") else V1
    assert checkpoint.architecture == (replace(known, last_eps=1e-12) if "transformers" in stem else known)
    assert not checkpoint.model.training
    np.testing.assert_allclose(
        answers(checkpoint), np.load(FIXTURES / f"{stem}.logits.npy"), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_our_own_layout_is_the_state_dict(name: str, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(FIXTURES / name)
    own = tmp_path / "own.safetensors"
    save_file(checkpoint.model.state_dict(), own)
    again = load_weights(own, checkpoint.architecture)
    assert again.architecture == checkpoint.architecture
    assert load_checkpoint(own).layout == "convnext_edge"
    np.testing.assert_array_equal(answers(replace(checkpoint, model=again)), answers(checkpoint))


@pytest.mark.parametrize("architecture", UNUSUAL)
def test_any_shape_of_convnext_is_inferred(architecture: Architecture, tmp_path: Path) -> None:
    model = ConvNeXt(architecture)
    loaded = load_checkpoint(write(tmp_path, model.state_dict()))
    assert loaded.architecture == architecture
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())
    image = torch.randn(1, 3, 2 * architecture.stride, 2 * architecture.stride)
    torch.testing.assert_close(loaded.model(image), model(image), rtol=0, atol=0)


@pytest.mark.parametrize("architecture", [V1, V2, *UNUSUAL])
def test_shapes_and_params_are_those_of_the_module(architecture: Architecture) -> None:
    model = ConvNeXt(architecture)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == architecture.shapes()
    assert sum(parameter.numel() for parameter in model.parameters()) == architecture.params


@pytest.mark.parametrize("key", ["model", "state_dict", "model_ema", "state_dict_ema"])
def test_wrappers_and_prefixes_are_taken_off(key: str, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in fixture("official_v1.pth").items()}
    path = write(tmp_path, {key: state, "epoch": 3, "args": argparse.Namespace(lr=4e-3)})
    np.testing.assert_array_equal(
        answers(load_checkpoint(path)), answers(load_checkpoint(FIXTURES / "official_v1.pth"))
    )


def test_averaged_weights_go_before_plain_ones(tmp_path: Path) -> None:
    averaged = fixture("official_v1.pth")
    plain = {name: torch.zeros_like(tensor) for name, tensor in averaged.items()}
    loaded = load_checkpoint(write(tmp_path, {"model": plain, "model_ema": averaged}))
    assert torch.equal(loaded.model.head.weight, averaged["head.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {name: tensor.to(dtype) for name, tensor in fixture("timm_v1.safetensors").items()}
    model = load_checkpoint(write(tmp_path, state)).model
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert torch.equal(model.head.weight, state["head.fc.weight"].float())
