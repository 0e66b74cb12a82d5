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

Table = tuple[tuple[str, str], ...]

BLOCK = "stages.{s}.blocks.{b}"
DOWNSAMPLE = "stages.{s}.downsample"

# github.com/facebookresearch/ConvNeXt and ConvNeXt-V2; their backbones of detection have norm0 to norm3
OFFICIAL: Table = (
    ("downsample_layers.0.0.{p}", "stem.conv.{p}"),
    ("downsample_layers.0.1.{p}", "stem.norm.{p}"),
    ("downsample_layers.{s}.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("downsample_layers.{s}.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("stages.{s}.{b}.dwconv.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("stages.{s}.{b}.norm.{p}", f"{BLOCK}.norm.{{p}}"),
    ("stages.{s}.{b}.pwconv1.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("stages.{s}.{b}.grn.gamma", f"{BLOCK}.grn.weight"),
    ("stages.{s}.{b}.grn.beta", f"{BLOCK}.grn.bias"),
    ("stages.{s}.{b}.pwconv2.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("stages.{s}.{b}.gamma", f"{BLOCK}.gamma"),
    ("norm{s}.{p}", "map_norms.{s}.{p}"),
    ("norm.{p}", "norm.{p}"),
    ("head.{p}", "head.{p}"),
)

# mmpretrain's classifiers; its last norm comes behind the pooling
MMPRETRAIN: Table = (
    *(
        (f"backbone.{name}".replace(".dwconv", ".depthwise_conv").replace(".pwconv", ".pointwise_conv"), ours)
        for name, ours in OFFICIAL
        if not name.startswith(("norm", "head"))
    ),
    ("backbone.norm3.{p}", "norm.{p}"),
    ("head.fc.{p}", "head.{p}"),
)
# ... and as the backbone of a detector or a segmenter of OpenMMLab
MMPRETRAIN_BACKBONE: Table = (
    *((name, ours) for name, ours in MMPRETRAIN if ours.startswith(("stem", "stages"))),
    ("backbone.norm{s}.{p}", "map_norms.{s}.{p}"),
)
# UPerHead of mmsegmentation, as the authors' UPerNets have it, and UperNetHead of transformers
UPERNET_CONVOLUTIONS = {
    "psp_modules.{s}.1": "pyramid.{s}",
    "bottleneck": "bottleneck",
    "lateral_convs.{s}": "laterals.{s}",
    "fpn_convs.{s}": "fpn.{s}",
    "fpn_bottleneck": "fpn_bottleneck",
}


def decode_head(norm: str, classifier: str) -> Table:
    """Return the names of UPerNet's decoder, as a library calls a convolution's BatchNorm and the last one."""
    rows = UPERNET_CONVOLUTIONS.items()
    return (
        *((f"decode_head.{name}.conv.weight", f"decoder.{ours}.conv.weight") for name, ours in rows),
        *((f"decode_head.{name}.{norm}.{{n}}", f"decoder.{ours}.norm.{{n}}") for name, ours in rows),
        (f"decode_head.{classifier}.{{p}}", "decoder.classifier.{p}"),
    )


# ... with the backbone of the authors' own repository, and with that of OpenMMLab's later configs
MMSEGMENTATION_HEAD = decode_head("bn", "conv_seg")
MMSEGMENTATION: Table = (
    *(
        (f"backbone.{name}", ours)
        for name, ours in OFFICIAL
        if ours.startswith(("stem", "stages", "map_norms"))
    ),
    *MMSEGMENTATION_HEAD,
)
MMSEGMENTATION_OF_MMPRETRAIN: Table = (*MMPRETRAIN_BACKBONE, *MMSEGMENTATION_HEAD)

# github.com/facebookresearch/dinov3: the last norm stands among those of the maps, too
DINOV3_OFFICIAL: Table = (
    *((name, ours) for name, ours in OFFICIAL if not name.startswith("norm{s}")),
    ("norms.3.{p}", "norm.{p}"),
)

# timm.models.convnext behind the stem; its small models keep the pointwise layers as 1x1 convolutions
TIMM_BODY: Table = (
    ("stages.{s}.downsample.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("stages.{s}.downsample.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("stages.{s}.blocks.{b}.conv_dw.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("stages.{s}.blocks.{b}.norm.{p}", f"{BLOCK}.norm.{{p}}"),
    ("stages.{s}.blocks.{b}.mlp.fc1.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("stages.{s}.blocks.{b}.mlp.grn.{p}", f"{BLOCK}.grn.{{p}}"),
    ("stages.{s}.blocks.{b}.mlp.fc2.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("stages.{s}.blocks.{b}.gamma", f"{BLOCK}.gamma"),
    ("norm_pre.{p}", "norm_pre.{p}"),
    ("head.norm.{p}", "norm.{p}"),
    ("head.pre_logits.fc.{p}", "hidden.{p}"),
    ("head.fc.{p}", "head.{p}"),
    ("head.fc.1.{p}", "head.{p}"),  # Sequential(Dropout, Linear)
)
PATCH_STEM: Table = (("stem.0.{p}", "stem.conv.{p}"), ("stem.1.{p}", "stem.norm.{p}"))
OVERLAP_STEM: Table = (
    ("stem.0.{p}", "stem.conv.{p}"),
    ("stem.1.{p}", "stem.conv2.{p}"),
    ("stem.2.{p}", "stem.norm.{p}"),
)
OVERLAP_ACT_STEM: Table = (
    ("stem.0.{p}", "stem.conv.{p}"),
    ("stem.2.{p}", "stem.conv2.{p}"),
    ("stem.3.{p}", "stem.norm.{p}"),
)


def flattened(stem: Table) -> Table:
    """Return the names of timm's features_only=True, which flattens two levels of them."""
    rows = (*stem, *TIMM_BODY)
    return tuple((name.replace("stem.", "stem_").replace("stages.", "stages_"), ours) for name, ours in rows)


# open_clip's image tower: a model of timm without its head, and a projection or a hidden layer behind
OPEN_CLIP: Table = (
    *((f"visual.trunk.{name}", ours) for name, ours in (*PATCH_STEM, *TIMM_BODY)),
    ("visual.head.proj.{p}", "head.{p}"),
    ("visual.head.mlp.fc1.{p}", "hidden.{p}"),
    ("visual.head.mlp.fc2.{p}", "head.{p}"),
)

# torchvision.models.convnext, V1 only
TORCHVISION: Table = (
    ("features.0.0.{p}", "stem.conv.{p}"),
    ("features.0.1.{p}", "stem.norm.{p}"),
    ("features.{even}.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("features.{even}.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("features.{odd}.{b}.block.0.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("features.{odd}.{b}.block.2.{p}", f"{BLOCK}.norm.{{p}}"),
    ("features.{odd}.{b}.block.3.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("features.{odd}.{b}.block.5.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("features.{odd}.{b}.layer_scale", f"{BLOCK}.gamma"),
    ("classifier.0.{p}", "norm.{p}"),
    ("classifier.2.{p}", "head.{p}"),
    ("classifier.2.1.{p}", "head.{p}"),  # Sequential(Dropout, Linear)
)

# Models of which only the children are kept, in a Sequential: by nn.Sequential(*list(model.children())[:-1]),
# and by fastai's create_body, which cuts torchvision's in this way
TORCHVISION_BODY: Table = tuple(
    (name.removeprefix("features."), ours) for name, ours in TORCHVISION if name.startswith("features.")
)
TIMM_BODY_PLACES = {"stem.": "0.", "stages.": "1.", "norm_pre.": "2."}


def as_children(stem: Table) -> Table:
    """Return the names of the children of timm's model in a Sequential, without its head."""
    rows = (*stem, *TIMM_BODY)
    return tuple(
        (place + name.removeprefix(child), ours)
        for name, ours in rows
        for child, place in TIMM_BODY_PLACES.items()
        if name.startswith(child)
    )


# transformers' ConvNextModel, ConvNextV2Model and the *Backbone of each
TRANSFORMERS: Table = (
    ("embeddings.patch_embeddings.{p}", "stem.conv.{p}"),
    ("embeddings.layernorm.{p}", "stem.norm.{p}"),
    ("encoder.stages.{s}.downsampling_layer.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("encoder.stages.{s}.downsampling_layer.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.dwconv.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.layernorm.{p}", f"{BLOCK}.norm.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.pwconv1.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.grn.{p}", f"{BLOCK}.grn.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.pwconv2.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.layer_scale_parameter", f"{BLOCK}.gamma"),
    ("layernorm.{p}", "norm.{p}"),
    ("hidden_states_norms.stage{next}.{p}", "map_norms.{s}.{p}"),
)

# transformers' DINOv3ConvNextModel, which numbers the stem among the downsampling layers of the stages
DINOV3: Table = (
    ("stages.0.downsample_layers.0.{p}", "stem.conv.{p}"),
    ("stages.0.downsample_layers.1.{p}", "stem.norm.{p}"),
    ("stages.{s}.downsample_layers.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("stages.{s}.downsample_layers.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("stages.{s}.layers.{b}.depthwise_conv.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("stages.{s}.layers.{b}.layer_norm.{p}", f"{BLOCK}.norm.{{p}}"),
    ("stages.{s}.layers.{b}.pointwise_conv1.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("stages.{s}.layers.{b}.pointwise_conv2.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("stages.{s}.layers.{b}.gamma", f"{BLOCK}.gamma"),
    ("layer_norm.{p}", "norm.{p}"),
)


def classifier_of_transformers(prefix: str) -> Table:
    """Return the names of ConvNextForImageClassification and its like, whose model is under `prefix`."""
    return (*((prefix + name, ours) for name, ours in TRANSFORMERS), ("classifier.{p}", "head.{p}"))


# UperNetForSemanticSegmentation
TRANSFORMERS_UPERNET: Table = (
    *((f"backbone.{name}", ours) for name, ours in TRANSFORMERS if ours != "norm.{p}"),
    *decode_head("batch_norm", "classifier"),
)

OF_OURS = (*OVERLAP_STEM, *TIMM_BODY, ("", "map_norms.{s}.{p}"), *MMSEGMENTATION_HEAD)
OURS: Table = tuple((ours, ours) for _, ours in OF_OURS)

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
        return name.startswith(tuple(places)) if ours is None else ours.startswith(without)


# no other decoder has it: of others, the backbone alone is taken
OF_UPERNET = ("decode_head.fpn_bottleneck.conv.weight",)
SEGMENTER = ("backbone.", "decode_head.")

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
