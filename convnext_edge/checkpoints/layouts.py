"""How the libraries that publish ConvNeXt name its tensors.

A layout is a table of two columns: a library's name of a tensor, and our name, which is that of
`ConvNeXt.state_dict()`. In both, {s} is the stage and {b} the block, counted from 0, and {p} is weight or
bias. {even} is 2s and {odd} is 2s + 1, as torchvision numbers its layers in one sequence; {next} is s + 1.
{n} is any of the four tensors of a BatchNorm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest

from convnext_edge.architecture import Stem
from convnext_edge.checkpoints.layout_tables import (
    DINOV3,
    DINOV3_OFFICIAL,
    MMDETECTION,
    MMDETECTION_OF_MMPRETRAIN,
    MMPRETRAIN,
    MMPRETRAIN_BACKBONE,
    MMSEGMENTATION,
    MMSEGMENTATION_OF_MMPRETRAIN,
    OFFICIAL,
    OPEN_CLIP,
    OURS,
    OVERLAP_ACT_STEM,
    OVERLAP_STEM,
    PATCH_STEM,
    TIMM_BODY,
    TORCHVISION,
    TORCHVISION_BODY,
    TORCHVISION_MASK_RCNN,
    TRANSFORMERS,
    TRANSFORMERS_UPERNET,
    Table,
    as_children,
    classifier_of_transformers,
    flattened,
)

# Numbers have up to four digits, as Python refuses to read thousands, and no leading zeros, so that no two
# names are of one tensor.
FIELDS = {
    "s": "0|[1-9][0-9]{0,3}",
    "b": "0|[1-9][0-9]{0,3}",
    "p": "weight|bias",
    "n": "weight|bias|running_mean|running_var",
    "even": "(?:[1-9][0-9]{0,2})?[02468]",
    "odd": "(?:[1-9][0-9]{0,2})?[13579]",
    "next": "[1-9][0-9]{0,3}",
}


@dataclass(frozen=True)
class Layout:
    """The names that one library gives to the tensors of a ConvNeXt."""

    family: str  # the library
    table: Table  # its name of each tensor, and ours
    # what the names of the image model begin with, beside what else the library keeps there
    scopes: tuple[str, ...] = ("",)
    stem: Stem = "patch"
    twins: tuple[str, ...] = ()  # how names begin that repeat a tensor of another name
    needed: tuple[str, ...] = ()  # names that are there beside those of the stem

    @property
    def marks(self) -> tuple[str, ...]:
        """The names of the stem's weights, and others that every model of this layout has."""
        wanted = ("conv", "norm") if self.stem == "patch" else ("conv", "conv2", "norm")
        return (*(self.original(f"stem.{name}.weight") for name in wanted), *self.needed)

    def rename(self, name: str) -> str | None:
        """Return our name of a tensor; None for a tensor that is not part of a ConvNeXt."""
        return _translate(name, self.table)

    def original(self, ours: str) -> str:
        """Return the library's name of the tensor that we call `ours`."""
        return _translate(ours, [(right, left) for left, right in self.table]) or ours

    def repeated(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield each name that repeats a tensor, and the name of that tensor, where both are there."""
        there = set(names)
        for name in there:
            ours = self.rename(name) if name.startswith(self.twins) and self.twins else None
            if ours is not None and (first := self.original(ours)) in there:
                yield name, first

    def is_of_head(self, name: str, ours: str | None, without: tuple[str, ...]) -> bool:
        """Tell whether a tensor is of a head that is left out. without: how our names of its layers begin."""
        places = {
            place
            for left, right in self.table
            if right.startswith(("head.", "decoder."))
            for place in _head_of(left)
        }
        # a detector has nothing but heads beside its backbone
        behind = (*places, *self.scopes[1:])
        return name.startswith(behind) if ours is None else ours.startswith(without)


# no other decoder has it: of others, the backbone alone is taken
OF_UPERNET = ("decode_head.fpn_bottleneck.conv.weight",)
SEGMENTER = ("backbone.", "decode_head.")
OF_MASK_RCNN = ("roi_head.mask_head.upsample.weight",)
OF_CASCADE = ("roi_head.mask_head.0.upsample.weight",)
DETECTOR = ("backbone.", "neck.", "rpn_head.", "roi_head.")

LAYOUTS = (
    Layout("official", OFFICIAL),
    Layout("dinov3", DINOV3_OFFICIAL, twins=("norms.3.",)),
    Layout("mmpretrain", MMPRETRAIN),
    Layout("mmpretrain", MMPRETRAIN_BACKBONE),
    Layout("timm", (*OVERLAP_ACT_STEM, *TIMM_BODY), stem="overlap_act"),
    Layout("timm", (*OVERLAP_STEM, *TIMM_BODY), stem="overlap"),
    Layout("timm", (*PATCH_STEM, *TIMM_BODY)),
    Layout("timm", flattened(OVERLAP_ACT_STEM), stem="overlap_act"),
    Layout("timm", flattened(OVERLAP_STEM), stem="overlap"),
    Layout("timm", flattened(PATCH_STEM)),
    Layout("open_clip", OPEN_CLIP, scopes=("visual.",)),
    Layout("torchvision", TORCHVISION),
    Layout("torchvision", TORCHVISION_BODY),
    Layout("timm", as_children(PATCH_STEM)),
    Layout("timm", as_children(OVERLAP_STEM), stem="overlap"),
    Layout("timm", as_children(OVERLAP_ACT_STEM), stem="overlap_act"),
    Layout("transformers", classifier_of_transformers("convnext.")),
    Layout("transformers", classifier_of_transformers("convnextv2.")),
    Layout("transformers", TRANSFORMERS),
    Layout("dinov3", DINOV3),
    Layout("mmsegmentation", MMSEGMENTATION, scopes=SEGMENTER, needed=OF_UPERNET),
    Layout("mmsegmentation", MMSEGMENTATION_OF_MMPRETRAIN, scopes=SEGMENTER, needed=OF_UPERNET),
    Layout("transformers", TRANSFORMERS_UPERNET, scopes=SEGMENTER, needed=OF_UPERNET),
    Layout("mmdetection", MMDETECTION, scopes=DETECTOR, needed=OF_MASK_RCNN),
    Layout("mmdetection", MMDETECTION_OF_MMPRETRAIN, scopes=DETECTOR, needed=OF_MASK_RCNN),
    Layout("mmdetection", MMDETECTION, scopes=DETECTOR, needed=OF_CASCADE),
    Layout("mmdetection", MMDETECTION_OF_MMPRETRAIN, scopes=DETECTOR, needed=OF_CASCADE),
    Layout(
        "torchvision",
        TORCHVISION_MASK_RCNN,
        scopes=("backbone.", "rpn.", "roi_heads."),
        needed=("roi_heads.mask_predictor.conv5_mask.weight",),
    ),
    Layout("convnext_edge", OURS, stem="overlap"),
    Layout("convnext_edge", OURS),
)


def _head_of(name: str) -> list[str]:
    """Return the part of a library's name of a head's tensor that all of its head has."""
    return re.findall(r"^.*?\b(?:(?:decode_)?head|decoder|classifier)\.", name)


def _translate(name: str, table: Iterable[tuple[str, str]]) -> str | None:
    for source, target in table:
        if match := _pattern(source).fullmatch(name):
            return target.format(**_fields(match.groupdict()))
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)  # text, field, text, field, ..., text
    literal = [re.escape(text) for text in parts[::2]]
    groups = [f"(?P<{field}>{FIELDS[field]})" for field in parts[1::2]]
    return re.compile("".join(a + b for a, b in zip_longest(literal, groups, fillvalue="")))


def _fields(found: dict[str, str]) -> dict[str, str | int]:
    if "next" in found:
        stage = int(found["next"]) - 1
    else:
        stage = int(found["s"]) if "s" in found else int(found.get("even", found.get("odd", "0"))) // 2
    return {**found, "s": stage, "even": 2 * stage, "odd": 2 * stage + 1, "next": stage + 1}
