"""Mask R-CNN of torchvision and of mmdetection: read by its tensors' names, or refused by what differs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.places import Selection
from convnext_edge.errors import CheckpointError

FILE = Path(__file__).parents[1] / "fixtures" / "detection" / "torchvision_maskrcnn.pth"
CLASSES = 4  # of the fixture, the background among them
# From names of torchvision 0.29 to those before 0.13
OLD = [
    (r"(inner|layer)_blocks\.(\d)\.0\.", r"\1_blocks.\2."),
    (r"head\.conv\.0\.0\.", "head.conv."),
]
# ... and to those of mmdetection 2, with the backbone of the authors
MMDETECTION = [
    (r"^backbone\.fpn\.inner_blocks\.(\d)\.0\.", r"neck.lateral_convs.\1.conv."),
    (r"^backbone\.fpn\.layer_blocks\.(\d)\.0\.", r"neck.fpn_convs.\1.conv."),
    (r"^rpn\.head\.conv\.0\.0\.", "rpn_head.rpn_conv."),
    (r"^rpn\.head\.cls_logits\.", "rpn_head.rpn_cls."),
    (r"^rpn\.head\.bbox_pred\.", "rpn_head.rpn_reg."),
    (r"^roi_heads\.box_head\.fc6\.", "roi_head.bbox_head.shared_fcs.0."),
    (r"^roi_heads\.box_head\.fc7\.", "roi_head.bbox_head.shared_fcs.1."),
    (r"^roi_heads\.box_predictor\.cls_score\.", "roi_head.bbox_head.fc_cls."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "roi_head.bbox_head.fc_reg."),
    (r"^roi_heads\.mask_head\.(\d)\.0\.", r"roi_head.mask_head.convs.\1.conv."),
    (r"^roi_heads\.mask_predictor\.conv5_mask\.", "roi_head.mask_head.upsample."),
    (r"^roi_heads\.mask_predictor\.mask_fcn_logits\.", "roi_head.mask_head.conv_logits."),
]
BLOCK = {"0": "dwconv", "2": "norm", "3": "pwconv1", "5": "pwconv2"}


def renamed(name: str, patterns: list[tuple[str, str]]) -> str:
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def of_authors(name: str) -> str:
    """Return the authors' name of a tensor of torchvision's backbone."""
    match = re.fullmatch(r"backbone\.body\.(\d)\.(\d)\.(.*)", name)
    assert match
    place, index, rest = int(match[1]), match[2], match[3]
    if place % 2 == 0:
        return f"backbone.downsample_layers.{place // 2}.{index}.{rest}"
    block = re.sub(r"^block\.(\d)", lambda found: BLOCK[found[1]], rest).replace("layer_scale", "gamma")
    return f"backbone.stages.{place // 2}.{index}.{block}"


def of_mmdetection() -> dict[str, Tensor]:
    """Return the fixture as mmdetection would have it: the background behind all, and without a mask."""
    state = {}
    for name, tensor in torch.load(FILE).items():
        ours = of_authors(name) if name.startswith("backbone.body.") else renamed(name, MMDETECTION)
        if ".fc_cls." in ours:
            tensor = torch.cat([tensor[1:], tensor[:1]])
        if ".fc_reg." in ours:
            tensor = tensor[4:]
        if ".conv_logits." in ours:
            tensor = tensor[1:]
        state[ours] = tensor
    for stage, dim in enumerate((8, 8, 16, 16)):
        state[f"backbone.norm{stage}.weight"] = torch.ones(dim)
        state[f"backbone.norm{stage}.bias"] = torch.zeros(dim)
    return state


def saved(state: dict[str, Tensor], folder: Path) -> Path:
    path = folder / "detector.pth"
    torch.save({"meta": {"epoch": 36}, "state_dict": state, "optimizer": {}}, path)
    return path


def test_torchvisions_names() -> None:
    loaded = load_checkpoint(FILE, Traits(proposals=60))
    assert (loaded.task, loaded.layout, loaded.left_out) == ("detect", "torchvision_v1", ())
    found = loaded.architecture.detection
    assert found is not None
    assert (found.library, found.proposals, found.candidates) == ("torchvision", 60, 1000)
    assert "1000 candidates of each level" in loaded.assumed
    assert not any("proposals" in each for each in loaded.assumed)
    assert loaded.architecture.classes == CLASSES


def test_the_names_of_early_torchvision(tmp_path: Path) -> None:
    state = {renamed(name, OLD): tensor for name, tensor in torch.load(FILE).items()}
    early = {
        re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", n): t
        for n, t in state.items()
    }
    loaded, expected = load_checkpoint(saved(early, tmp_path)), load_checkpoint(FILE)
    assert loaded.architecture == expected.architecture
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_the_names_of_mmdetection(tmp_path: Path) -> None:
    loaded = load_checkpoint(saved(of_mmdetection(), tmp_path))
    assert (loaded.task, loaded.layout) == ("detect", "mmdetection_v1")
    architecture = loaded.architecture
    assert architecture.detection is not None
    assert (architecture.detection.library, architecture.classes) == ("mmdetection", CLASSES - 1)
    assert architecture.map_norms == (0, 1, 2, 3)
    with torch.inference_mode():
        _, labels, scores, _ = loaded.model(torch.rand(1, 3, 96, 128))
    assert set(labels[scores > 0].tolist()) <= set(range(CLASSES - 1))


def test_the_backbone_alone(tmp_path: Path) -> None:
    loaded = load_checkpoint(FILE, selection=Selection(task="features"))
    assert loaded.task == "detect"  # `for_task` takes the part
    assert loaded.architecture.maps == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop("rpn.head.bbox_pred.weight"), "rpn.head.bbox_pred.weight is missing"),
        (
            lambda s: s.update({"rpn.head.conv.1.0.weight": torch.zeros(8, 8, 3, 3)}),
            "rpn.head.conv.1.0.weight",
        ),
        (
            lambda s: s.update({"roi_heads.box_head.0.0.weight": torch.zeros(8, 8, 3, 3)}),
            "box_head.0.0.weight",
        ),
    ],
)
def test_other_heads_are_refused_by_name(change, named: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    state = torch.load(FILE)
    change(state)
    with pytest.raises(CheckpointError, match=re.escape(named)):
        load_checkpoint(saved(state, tmp_path))


def with_classes(boxes: int, masks: int, *, library: str) -> dict[str, Tensor]:
    """Return the fixture with so many classes of boxes, and of masks and deltas."""
    state = torch.load(FILE) if library == "torchvision" else of_mmdetection()
    for name, tensor in state.items():
        if ".cls_score." in name or ".fc_cls." in name:
            state[name] = tensor[[0] * boxes]
        elif (".bbox_pred." in name and "rpn" not in name) or ".fc_reg." in name:
            state[name] = tensor[[0] * 4 * masks]
        elif ".mask_fcn_logits." in name or ".conv_logits." in name:
            state[name] = tensor[[0] * masks]
    return state


@pytest.mark.parametrize(
    ("library", "boxes", "masks", "why"),
    [
        ("torchvision", 5, 4, "masks have 4 classes, boxes 5"),
        ("mmdetection", 4, 4, "masks have 4 classes, boxes 4"),
        ("torchvision", 1, 1, "have one class (that is the background)"),
    ],
)
def test_classes_that_the_library_does_not_count_so_are_refused(
    library: str, boxes: int, masks: int, why: str, tmp_path: Path
) -> None:
    """Else the background would be a class, or a class the background."""
    with pytest.raises(CheckpointError, match=re.escape(why)):
        load_checkpoint(saved(with_classes(boxes, masks, library=library), tmp_path))


def test_settings_of_a_detector_are_refused_for_a_classifier() -> None:
    classifier = FILE.parents[1] / "checkpoints"
    path = next(iter(sorted(classifier.glob("torchvision*.pth")) or sorted(classifier.glob("timm*"))))
    with pytest.raises(CheckpointError, match="--max-detections is of a detector"):
        load_checkpoint(path, Traits(max_detections=3))
