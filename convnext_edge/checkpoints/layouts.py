"""How the libraries that publish ConvNeXt name its tensors.

A layout is a table of two columns: a library's name of a tensor, and our name, which is that of
`ConvNeXt.state_dict()`. In both, {s} is the stage and {b} the block, counted from 0, and {p} is weight or
bias. {even} is 2s and {odd} is 2s + 1: torchvision numbers its layers in one sequence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest

Table = tuple[tuple[str, str], ...]

# github.com/facebookresearch/ConvNeXt and ConvNeXt-V2
OFFICIAL: Table = (
    ("downsample_layers.0.0.{p}", "stem.conv.{p}"),
    ("downsample_layers.0.1.{p}", "stem.norm.{p}"),
    ("downsample_layers.{s}.0.{p}", "stages.{s}.downsample.norm.{p}"),
    ("downsample_layers.{s}.1.{p}", "stages.{s}.downsample.conv.{p}"),
    ("stages.{s}.{b}.dwconv.{p}", "stages.{s}.blocks.{b}.dwconv.{p}"),
    ("stages.{s}.{b}.norm.{p}", "stages.{s}.blocks.{b}.norm.{p}"),
    ("stages.{s}.{b}.pwconv1.{p}", "stages.{s}.blocks.{b}.pwconv1.{p}"),
    ("stages.{s}.{b}.grn.gamma", "stages.{s}.blocks.{b}.grn.weight"),
    ("stages.{s}.{b}.grn.beta", "stages.{s}.blocks.{b}.grn.bias"),
    ("stages.{s}.{b}.pwconv2.{p}", "stages.{s}.blocks.{b}.pwconv2.{p}"),
    ("stages.{s}.{b}.gamma", "stages.{s}.blocks.{b}.gamma"),
    ("norm.{p}", "norm.{p}"),
    ("head.{p}", "head.{p}"),
)

# timm.models.convnext, V1 and V2; its small models keep the pointwise layers as 1x1 convolutions
TIMM: Table = (
    ("stem.0.{p}", "stem.conv.{p}"),
    ("stem.1.{p}", "stem.norm.{p}"),
    ("stages.{s}.downsample.0.{p}", "stages.{s}.downsample.norm.{p}"),
    ("stages.{s}.downsample.1.{p}", "stages.{s}.downsample.conv.{p}"),
    ("stages.{s}.blocks.{b}.conv_dw.{p}", "stages.{s}.blocks.{b}.dwconv.{p}"),
    ("stages.{s}.blocks.{b}.norm.{p}", "stages.{s}.blocks.{b}.norm.{p}"),
    ("stages.{s}.blocks.{b}.mlp.fc1.{p}", "stages.{s}.blocks.{b}.pwconv1.{p}"),
    ("stages.{s}.blocks.{b}.mlp.grn.{p}", "stages.{s}.blocks.{b}.grn.{p}"),
    ("stages.{s}.blocks.{b}.mlp.fc2.{p}", "stages.{s}.blocks.{b}.pwconv2.{p}"),
    ("stages.{s}.blocks.{b}.gamma", "stages.{s}.blocks.{b}.gamma"),
    ("head.norm.{p}", "norm.{p}"),
    ("head.fc.{p}", "head.{p}"),
)

# torchvision.models.convnext, V1 only
TORCHVISION: Table = (
    ("features.0.0.{p}", "stem.conv.{p}"),
    ("features.0.1.{p}", "stem.norm.{p}"),
    ("features.{even}.0.{p}", "stages.{s}.downsample.norm.{p}"),
    ("features.{even}.1.{p}", "stages.{s}.downsample.conv.{p}"),
    ("features.{odd}.{b}.block.0.{p}", "stages.{s}.blocks.{b}.dwconv.{p}"),
    ("features.{odd}.{b}.block.2.{p}", "stages.{s}.blocks.{b}.norm.{p}"),
    ("features.{odd}.{b}.block.3.{p}", "stages.{s}.blocks.{b}.pwconv1.{p}"),
    ("features.{odd}.{b}.block.5.{p}", "stages.{s}.blocks.{b}.pwconv2.{p}"),
    ("features.{odd}.{b}.layer_scale", "stages.{s}.blocks.{b}.gamma"),
    ("classifier.0.{p}", "norm.{p}"),
    ("classifier.2.{p}", "head.{p}"),
)

# transformers.ConvNextForImageClassification and, with `convnextv2.`, ConvNextV2ForImageClassification
TRANSFORMERS_V1: Table = (
    ("convnext.embeddings.patch_embeddings.{p}", "stem.conv.{p}"),
    ("convnext.embeddings.layernorm.{p}", "stem.norm.{p}"),
    ("convnext.encoder.stages.{s}.downsampling_layer.0.{p}", "stages.{s}.downsample.norm.{p}"),
    ("convnext.encoder.stages.{s}.downsampling_layer.1.{p}", "stages.{s}.downsample.conv.{p}"),
    ("convnext.encoder.stages.{s}.layers.{b}.dwconv.{p}", "stages.{s}.blocks.{b}.dwconv.{p}"),
    ("convnext.encoder.stages.{s}.layers.{b}.layernorm.{p}", "stages.{s}.blocks.{b}.norm.{p}"),
    ("convnext.encoder.stages.{s}.layers.{b}.pwconv1.{p}", "stages.{s}.blocks.{b}.pwconv1.{p}"),
    ("convnext.encoder.stages.{s}.layers.{b}.grn.{p}", "stages.{s}.blocks.{b}.grn.{p}"),
    ("convnext.encoder.stages.{s}.layers.{b}.pwconv2.{p}", "stages.{s}.blocks.{b}.pwconv2.{p}"),
    ("convnext.encoder.stages.{s}.layers.{b}.layer_scale_parameter", "stages.{s}.blocks.{b}.gamma"),
    ("convnext.layernorm.{p}", "norm.{p}"),
    ("classifier.{p}", "head.{p}"),
)
TRANSFORMERS_V2: Table = tuple(
    (name.replace("convnext.", "convnextv2."), ours) for name, ours in TRANSFORMERS_V1
)

OURS: Table = tuple((ours, ours) for _, ours in TIMM)

# Numbers have up to four digits, as Python refuses to read thousands, and no leading zeros, so that no two
# names are of one tensor.
FIELDS = {
    "s": "0|[1-9][0-9]{0,3}",
    "b": "0|[1-9][0-9]{0,3}",
    "p": "weight|bias",
    "even": "(?:[1-9][0-9]{0,2})?[02468]",
    "odd": "(?:[1-9][0-9]{0,2})?[13579]",
}


@dataclass(frozen=True)
class Layout:
    """The names that one library gives to the tensors of a ConvNeXt."""

    family: str  # the library
    table: Table  # its name of each tensor, and ours

    @property
    def stem(self) -> str:
        """The name of the stem's weight, which every ConvNeXt of this layout has."""
        return self.original("stem.conv.weight")

    def rename(self, name: str) -> str | None:
        """Return our name of a tensor; None for a tensor that is not part of a ConvNeXt."""
        return _translate(name, self.table)

    def original(self, ours: str) -> str:
        """Return the library's name of the tensor that we call `ours`."""
        return _translate(ours, [(right, left) for left, right in self.table]) or ours


LAYOUTS = (
    Layout("official", OFFICIAL),
    Layout("timm", TIMM),
    Layout("torchvision", TORCHVISION),
    Layout("transformers", TRANSFORMERS_V1),
    Layout("transformers", TRANSFORMERS_V2),
    Layout("convnext_edge", OURS),
)


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
    stage = int(found["s"]) if "s" in found else int(found.get("even", found.get("odd", "0"))) // 2
    return {**found, "s": stage, "even": 2 * stage, "odd": 2 * stage + 1}
