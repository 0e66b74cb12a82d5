"""Layouts that differ from those of the fixtures by names alone, as their libraries document them.

The weights are those of a fixture whose own library answered, under the names of another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.checkpoints import FIXTURES, State, fixture, write
from support.places import TESTS
from torch import Tensor

from convnext_edge.checkpoints.load_source import Asked, load_source
from convnext_edge.checkpoints.loading import Checkpoint, load_checkpoint
from convnext_edge.checkpoints.places import Selection
from convnext_edge.errors import CheckpointError
from convnext_edge.network.convnext import as_tuple
from convnext_edge.tasks import Task

MAPS = TESTS / "fixtures" / "architectures" / "official_backbone"
DINOV3 = TESTS / "fixtures" / "architectures" / "hf_dinov3"
Renaming = Sequence[tuple[str, str]]
MMPRETRAIN: Renaming = [(r"\.dwconv\.", ".depthwise_conv."), (r"\.pwconv(\d)\.", r".pointwise_conv\1.")]


def renamed(state: State, renaming: Renaming) -> State:
    result = {}
    for name, tensor in state.items():
        for pattern, new in renaming:
            name = re.sub(pattern, new, name)
        result[name] = tensor
    return result


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def answer(loaded: Checkpoint, images: Path) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return as_tuple(loaded.model(torch.from_numpy(np.load(images))))


def check_maps(loaded: Checkpoint) -> None:
    """Hold the maps against those of the authors' own backbone."""
    found = answer(loaded, Path(f"{MAPS}.input.npy"))
    assert (loaded.task, len(found)) == ("features", 4)
    for stage, output in enumerate(found):
        expected = np.load(f"{MAPS}.map{stage}.npy")
        np.testing.assert_allclose(output, expected, atol=1e-5 * expected.std(), rtol=0)


def backbone() -> State:
    state: State = torch.load(f"{MAPS}.pth", weights_only=True)
    return state.get("model", state)  # type: ignore[return-value]


HEADS: State = {
    "decode_head.conv_seg.weight": torch.ones(5, 3, 1, 1),
    "auxiliary_head.conv_seg.bias": torch.ones(5),
}
DETECTORS = {
    "mmdet, the authors' backbone": lambda s: {
        **under("backbone.", s),
        "neck.fpn_convs.0.conv.weight": torch.ones(1),
        "rpn_head.rpn_conv.weight": torch.ones(1),
        "roi_head.bbox_head.0.fc_cls.weight": torch.ones(1),
    },
    "mmseg, mmpretrain's backbone": lambda s: {**under("backbone.", renamed(s, MMPRETRAIN)), **HEADS},
    "mmseg in parallel": lambda s: under("module.", {**under("backbone.", renamed(s, MMPRETRAIN)), **HEADS}),
}


@pytest.mark.parametrize("library", DETECTORS)
def test_the_backbone_of_a_detector_gives_the_maps_of_the_authors(library: str, tmp_path: Path) -> None:
    state = DETECTORS[library](backbone())
    loaded = load_checkpoint(write(tmp_path, {"meta": {"epoch": 12}, "state_dict": state, "optimizer": {}}))
    check_maps(loaded)
    assert {name.split("backbone.")[0] for name in loaded.left_out} == set(loaded.left_out)
    assert len(loaded.left_out) == len(state) - len(backbone())


def dinov3_release() -> State:
    """The names of github.com/facebookresearch/dinov3: those of ConvNeXt, and the last norm a second time."""
    from safetensors.torch import load_file

    state = renamed(
        load_file(DINOV3 / "model.safetensors"),
        [
            (r"^stages\.(\d)\.downsample_layers\.", r"downsample_layers.\1."),
            (r"^stages\.(\d)\.layers\.", r"stages.\1."),
            (r"depthwise_conv", "dwconv"),
            (r"pointwise_conv", "pwconv"),
            (r"(\d\.\d)\.layer_norm\.", r"\1.norm."),
            (r"^layer_norm\.", "norm."),
        ],
    )
    return state | {f"norms.3.{part}": state[f"norm.{part}"].clone() for part in ("weight", "bias")}


def test_dinov3_under_the_names_of_its_authors(tmp_path: Path) -> None:
    loaded = load_checkpoint(write(tmp_path, dinov3_release()))
    assert (loaded.layout, loaded.task, loaded.left_out) == ("dinov3_v1", "embed", ())
    expected = np.load(f"{DINOV3}.embedding.npy")
    np.testing.assert_allclose(
        answer(loaded, Path(f"{DINOV3}.input.npy"))[0], expected, atol=1e-4 * expected.std(), rtol=0
    )


def test_a_norm_that_should_repeat_another_and_does_not_is_refused(tmp_path: Path) -> None:
    state = dinov3_release()
    state["norms.3.weight"] += 1
    with pytest.raises(CheckpointError, match=r"norms\.3\.weight, which is not norm\.weight"):
        load_checkpoint(write(tmp_path, state))


def test_pretraining_by_fcmae_is_refused_as_what_it_is(tmp_path: Path) -> None:
    encoder = under("encoder.", renamed(fixture("official_v2.pth"), [(r"dwconv\.weight", "dwconv.kernel")]))
    decoder = {"mask_token": torch.zeros(1, 512, 1, 1), "proj.weight": torch.ones(8, 8, 1, 1)}
    decoder |= {"decoder.0.dwconv.weight": torch.ones(8, 1, 7, 7), "pred.weight": torch.ones(3, 8, 1, 1)}
    path = write(tmp_path, {"model": {**encoder, **decoder}})
    with pytest.raises(CheckpointError, match=r"ConvNeXt V2 in pretraining \(FCMAE\)") as caught:
        load_checkpoint(path)
    assert "after finetuning" in caught.value.hint


# --- heads of one's own -----------------------------------------------------------------------------

OWN_HEAD = {"weight": torch.ones(5, 20), "bias": torch.ones(5)}
FASTAI_HEAD = {
    "1.2.weight": torch.ones(96),
    "1.2.running_mean": torch.zeros(96),
    "1.4.weight": torch.ones(3, 96),
}


def body_of_torchvision(prefix: str) -> State:
    """What is left where fastai, or a Sequential of the children, cuts the classifier off."""
    state = fixture("torchvision_v1.pth")
    return {
        prefix + name.removeprefix("features."): tensor
        for name, tensor in state.items()
        if name.startswith("features.")
    }


def timm_model(prefix: str) -> State:
    state = fixture("timm_v1.safetensors")
    return {prefix + name: tensor for name, tensor in state.items() if not name.startswith("head.fc")}


def children_of_timm() -> State:
    state = {name: tensor for name, tensor in timm_model("").items() if not name.startswith("head.")}
    return renamed(state, [(r"^stem\.", "0."), (r"^stages\.", "1.")])


WITHOUT_HEAD: dict[str, tuple[Callable[[], State], str, Task]] = {
    "fastai on torchvision": (
        lambda: {**body_of_torchvision("0.0."), **FASTAI_HEAD},
        "torchvision_v1.pth",
        "features",
    ),
    "fastai on timm": (lambda: {**timm_model("0.model."), **FASTAI_HEAD}, "timm_v1.safetensors", "embed"),
    "fastai on timm, maps": (
        lambda: {**timm_model("0.model."), **FASTAI_HEAD},
        "timm_v1.safetensors",
        "features",
    ),
    "a Sequential of torchvision's children": (
        lambda: body_of_torchvision("0."),
        "torchvision_v1.pth",
        "features",
    ),
    "a Sequential of timm's children": (children_of_timm, "timm_v1.safetensors", "features"),
    "a classifier of one's own": (
        lambda: {**timm_model("backbone."), **under("classifier.", OWN_HEAD)},
        "timm_v1.safetensors",
        "embed",
    ),
    "a deeper head of torchvision": (
        lambda: {**fixture("torchvision_v1.pth"), **under("classifier.4.", OWN_HEAD)},
        "torchvision_v1.pth",
        "embed",
    ),
}


@pytest.mark.parametrize("case", WITHOUT_HEAD)
def test_a_head_that_nobody_knows_is_left_out_where_a_task_needs_none(case: str, tmp_path: Path) -> None:
    make, base, task = WITHOUT_HEAD[case]
    path = write(tmp_path, {"model": make()})
    source = load_source(None, path, asked=Asked(selection=Selection(task=task))).for_task(task)
    whole = load_source(None, FIXTURES / base).for_task(task)
    assert source.reference.architecture == whole.reference.architecture
    found, expected = source.reference.state_dict(), whole.reference.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    if "Sequential" not in case:
        assert source.left_out
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        assert "--task embed or --task features" in caught.value.hint
        assert ("as fastai makes it" in caught.value.message) == case.startswith("fastai")


def test_a_layer_inside_of_the_body_is_never_left_out(tmp_path: Path) -> None:
    state = {**timm_model(""), "stages.1.attention.weight": torch.ones(24, 24)}
    for task in ("embed", "features"):
        with pytest.raises(CheckpointError, match=r"stages\.1\.attention\.weight of shape"):
            load_checkpoint(write(tmp_path, state), selection=Selection(task=task))
