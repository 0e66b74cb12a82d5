"""Cascade Mask R-CNN of mmdetection: read by its tensors' names, or refused by what differs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.cascades import CLASSES, DIMS, WIDE, WIDTH, Kind, State, checkpoint_of, state_of

from convnext_edge.checkpoints.loading import Checkpoint, load_checkpoint
from convnext_edge.checkpoints.places import Selection
from convnext_edge.detection import Cascade
from convnext_edge.errors import CheckpointError

# From the authors' names of a backbone to those of mmpretrain, which later configurations take
MMPRETRAIN = ((".dwconv.", ".depthwise_conv."), (".pwconv", ".pointwise_conv"))
CONV = "roi_head.bbox_head.1.shared_convs.1"


def load(state: State, folder: Path, task: str | None = None) -> Checkpoint:
    path = folder / "cascade.pth"
    torch.save(checkpoint_of(state), path)
    return load_checkpoint(path, selection=Selection(task=task))  # type: ignore[arg-type]


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize(("convs", "linears"), [(4, 1), (0, 2)])
def test_the_names_of_mmdetection(convs: int, linears: int, agnostic: bool, tmp_path: Path) -> None:
    state = state_of(Kind(convs, linears, agnostic))
    loaded = load(state, tmp_path)
    assert (loaded.task, loaded.layout, loaded.left_out) == ("detect", "mmdetection_v1", ())
    found = loaded.architecture
    assert found.cascade == Cascade(convs, linears, agnostic)
    assert found.detection is not None
    assert (found.detection.library, found.classes, found.dims) == ("mmdetection", CLASSES, DIMS)
    assert (found.decoder_width, found.box_width, found.mask_width) == (WIDTH, WIDE, WIDTH)
    read = loaded.model.state_dict()
    assert len(read) == len([name for name in state if "num_batches" not in name])
    last = state["roi_head.bbox_head.2.fc_reg.weight"]
    assert np.array_equal(read["decoder.box.2.deltas.weight"], last)


def test_what_no_tensor_shows_is_said(tmp_path: Path) -> None:
    assumed = load(state_of(), tmp_path).assumed
    assert "anchors and overlaps as in mmdetection" in assumed
    (of_offsets,) = (each for each in assumed if each.startswith("offsets of the box heads"))
    assert re.findall(r"0\.\d+", of_offsets) == ["0.1", "0.05", "0.033", "0.2", "0.1", "0.067"]


def test_the_backbone_of_mmpretrain(tmp_path: Path) -> None:
    state = state_of()
    renamed = {name: name for name in state}
    for old, new in MMPRETRAIN:
        renamed = {name: ours.replace(old, new) for name, ours in renamed.items()}
    loaded = load({renamed[name]: tensor for name, tensor in state.items()}, tmp_path)
    expected = load(state, tmp_path)
    assert loaded.architecture == expected.architecture
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def changed(state: State, change: Callable[[State], object]) -> State:
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop("roi_head.bbox_head.2.fc_reg.weight"), "bbox_head.2.fc_reg.weight is missing"),
        (
            lambda s: [s.pop(name) for name in list(s) if "_head.2." in name],
            "roi_head.bbox_head.2.shared_convs.0.conv.weight is missing (a cascade has three box heads",
        ),
        (
            lambda s: s.update({"roi_head.bbox_head.3.fc_cls.bias": np.zeros(CLASSES + 1, np.float32)}),
            "roi_head.bbox_head.3.fc_cls.bias of shape (4,) is unexpected",
        ),
        (
            lambda s: s.update({"roi_head.bbox_head.1.fc_reg.bias": np.zeros(4, np.float32)}),
            "roi_head.bbox_head.1.fc_reg.bias has shape (4,), not (12,)",
        ),
        (lambda s: s.pop(f"{CONV}.bn.running_var"), f"{CONV}.bn.running_var is missing"),
        (
            lambda s: s.update({f"{CONV}.conv.bias": np.zeros(WIDTH, np.float32)}),
            f"{CONV}.conv.bias of shape (8,) is unexpected",
        ),
        (
            lambda s: s.update(
                {"roi_head.mask_head.0.conv_res.conv.weight": np.zeros((8, 8, 1, 1), np.float32)}
            ),
            "roi_head.mask_head.0.conv_res.conv.weight",
        ),
        (
            lambda s: s.update({"roi_head.semantic_head.convs.0.conv.bias": np.zeros(8, np.float32)}),
            "roi_head.semantic_head.convs.0.conv.bias",
        ),
    ],
)
def test_other_heads_are_refused_by_name(
    change: Callable[[State], object], named: str, tmp_path: Path
) -> None:
    state = changed(state_of(), change)
    with pytest.raises(CheckpointError, match=re.escape(named)):
        load(state, tmp_path)
    assert load(state, tmp_path, "features").architecture.maps == (0, 1, 2, 3)


def test_a_cascade_without_masks_is_a_backbone(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in state_of().items() if "mask_head" not in name}
    loaded = load(state, tmp_path)
    assert loaded.task == "features"
    assert "state_dict.roi_head.bbox_head.0.fc_cls.weight" in loaded.left_out
