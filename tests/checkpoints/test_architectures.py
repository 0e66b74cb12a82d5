"""Other stems, norms, heads and backbones, as the libraries made them, against what the libraries answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from convnext_edge.artifacts.artifact import Form
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.errors import CheckpointError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import as_tuple
from convnext_edge.network.lowering import lower
from convnext_edge.tasks import output_names

KEPT = Path(__file__).parents[1] / "fixtures" / "architectures"
ALL = Path(__file__).parents[3] / "shared" / "fixtures" / "more"
CASES = json.loads((KEPT / "cases.json").read_text())
# What shows in no tensor.
TRAITS = {
    "timm_zepto_rms_ols": Traits(norm="simplenorm"),
    "timm_test_convnext2": Traits(activation="gelu_tanh"),
}


@pytest.mark.parametrize("form", ["plain", "linear", "conv"])
@pytest.mark.parametrize("name", CASES)
def test_an_architecture_answers_as_its_own_library_does(name: str, form: Form) -> None:
    loaded = load_checkpoint(KEPT / CASES[name]["file"], TRAITS.get(name, Traits()))
    model = lower(loaded.model, form, preprocessing=Preprocessing())
    with torch.no_grad():
        answers = as_tuple(model(torch.from_numpy(np.load(KEPT / f"{name}.input.npy"))))
    names = output_names(loaded.task, loaded.architecture)
    assert len(answers) == len(names)
    for output, answer in zip(names, answers, strict=True):
        expected = np.load(KEPT / f"{name}.{output}.npy")
        np.testing.assert_allclose(answer, expected, atol=1e-5 * expected.std(), rtol=0)


def test_two_models_in_one_file_are_refused(tmp_path: Path) -> None:
    state = torch.load(KEPT / "timm_patch2.pth", weights_only=True)["state_dict"]
    both = {f"{owner}.{name}": tensor for owner in ("net", "twin") for name, tensor in state.items()}
    torch.save(both, tmp_path / "both.pth")
    with pytest.raises(CheckpointError, match=r"several ConvNeXts, under net\. and twin\."):
        load_checkpoint(tmp_path / "both.pth")


def test_what_stands_beside_a_model_is_left_out_only_where_it_is_known(tmp_path: Path) -> None:
    state = torch.load(KEPT / "timm_patch2.pth", weights_only=True)["state_dict"]
    inside = {f"net.{name}": tensor for name, tensor in state.items()}
    torch.save({**inside, "criterion.weight": torch.ones(10)}, tmp_path / "loss.pth")
    assert load_checkpoint(tmp_path / "loss.pth").left_out == ("criterion.weight",)
    torch.save({**inside, "fc.weight": torch.ones(4, 10)}, tmp_path / "fc.pth")
    with pytest.raises(CheckpointError, match=r"fc\.weight beside the ConvNeXt under net\."):
        load_checkpoint(tmp_path / "fc.pth")
