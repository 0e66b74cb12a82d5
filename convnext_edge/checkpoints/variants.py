"""The published ConvNeXt models by name: their architecture, weights and accuracy.

A name is a size, as in `tiny` or `v2_tiny`, with the tag of its training as timm writes it, as in
`tiny.fb_in22k_ft_in1k_384`; a size alone means the first tag of its row below. This module needs no PyTorch.

Sources: top-1 of the tags fb_* from the README of github.com/facebookresearch/ConvNeXt, of fcmae_* from
that of ConvNeXt-V2, of the others from timm's results/results-imagenet.csv at the resolution and crop
given here. Licenses from the model cards under huggingface.co/timm: Apache-2.0 for V1, and for V2 the
CC BY-NC 4.0 of its authors, which forbids commercial use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from convnext_edge.architecture import Architecture
from convnext_edge.errors import UsageError
from convnext_edge.images.preprocessing import Preprocessing

IN1K, IN12K, IN22K = 1000, 11821, 21841  # classes of ImageNet-1k and of timm's and the authors' larger sets


@dataclass(frozen=True)
class Variant:
    """A published set of weights, with its architecture and preprocessing."""

    name: str
    architecture: Architecture
    preprocessing: Preprocessing
    # Fraction of the ImageNet-1k validation set, with this preprocessing; None where none is published.
    published_top1: float | None
    license: str  # of the weights: an SPDX identifier in lower case
    source: str  # repository of the Hugging Face hub; for `demo`, a folder of this project

    @property
    def generation(self) -> str:
        """The generation of ConvNeXt, "v1" or "v2"."""
        return self.architecture.generation

    @property
    def resolution(self) -> int:
        """The edge of the square input, in pixels."""
        return self.preprocessing.resolution

    @property
    def classes(self) -> int:
        """The number of classes that the head tells apart."""
        return self.architecture.classes


@dataclass(frozen=True)
class Tag:
    """What the tag of a training determines: the head, and the preprocessing of the evaluation."""

    classes: int = IN1K  # of the head
    resolution: int = 224  # pixels
    crop: float = 0.875  # fraction of the shorter edge that is kept


SIZES = {
    "tiny": Architecture((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": Architecture((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": Architecture((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": Architecture((3, 3, 27, 3), (192, 384, 768, 1536)),
    "xlarge": Architecture((3, 3, 27, 3), (256, 512, 1024, 2048)),
    "atto": Architecture((2, 2, 6, 2), (40, 80, 160, 320)),
    "femto": Architecture((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": Architecture((2, 2, 6, 2), (64, 128, 256, 512)),
    "nano": Architecture((2, 2, 8, 2), (80, 160, 320, 640)),
    "v2_atto": Architecture((2, 2, 6, 2), (40, 80, 160, 320), grn=True, layer_scale=False),
    "v2_femto": Architecture((2, 2, 6, 2), (48, 96, 192, 384), grn=True, layer_scale=False),
    "v2_pico": Architecture((2, 2, 6, 2), (64, 128, 256, 512), grn=True, layer_scale=False),
    "v2_nano": Architecture((2, 2, 8, 2), (80, 160, 320, 640), grn=True, layer_scale=False),
    "v2_tiny": Architecture((3, 3, 9, 3), (96, 192, 384, 768), grn=True, layer_scale=False),
    "v2_base": Architecture((3, 3, 27, 3), (128, 256, 512, 1024), grn=True, layer_scale=False),
    "v2_large": Architecture((3, 3, 27, 3), (192, 384, 768, 1536), grn=True, layer_scale=False),
    "v2_huge": Architecture((3, 3, 27, 3), (352, 704, 1408, 2816), grn=True, layer_scale=False),
}

TAGS = {
    "fb_in1k": Tag(),
    "fb_in22k": Tag(classes=IN22K),
    "fb_in22k_ft_in1k": Tag(),
    "fb_in22k_ft_in1k_384": Tag(resolution=384, crop=1.0),
    "d1_in1k": Tag(),
    "d1h_in1k": Tag(crop=0.95),
    "d2_in1k": Tag(),
    "in12k": Tag(classes=IN12K, crop=0.95),
    "in12k_ft_in1k": Tag(crop=0.95),
    "in12k_ft_in1k_384": Tag(resolution=384, crop=1.0),
    "fcmae_ft_in1k": Tag(),
    "fcmae_ft_in22k_in1k": Tag(),
    "fcmae_ft_in22k_in1k_384": Tag(resolution=384, crop=1.0),
    "fcmae_ft_in22k_in1k_512": Tag(resolution=512, crop=1.0),
}

# Size -> tag -> top-1. There are no weights of xlarge trained on ImageNet-1k alone.
PUBLISHED: dict[str, dict[str, float | None]] = {
    "tiny": {
        "fb_in1k": 0.821,
        "fb_in22k": None,
        "fb_in22k_ft_in1k": 0.829,
        "fb_in22k_ft_in1k_384": 0.841,
        "in12k": None,
        "in12k_ft_in1k": 0.84192,
        "in12k_ft_in1k_384": 0.85154,
    },
    "small": {
        "fb_in1k": 0.831,
        "fb_in22k": None,
        "fb_in22k_ft_in1k": 0.846,
        "fb_in22k_ft_in1k_384": 0.858,
        "in12k": None,
        "in12k_ft_in1k": 0.85164,
        "in12k_ft_in1k_384": 0.86186,
    },
    "base": {"fb_in1k": 0.838, "fb_in22k": None, "fb_in22k_ft_in1k": 0.858, "fb_in22k_ft_in1k_384": 0.868},
    "large": {"fb_in1k": 0.843, "fb_in22k": None, "fb_in22k_ft_in1k": 0.866, "fb_in22k_ft_in1k_384": 0.875},
    "xlarge": {"fb_in22k_ft_in1k": 0.870, "fb_in22k": None, "fb_in22k_ft_in1k_384": 0.878},
    "atto": {"d2_in1k": 0.75672},
    "femto": {"d1_in1k": 0.77498},
    "pico": {"d1_in1k": 0.79516},
    "nano": {"d1h_in1k": 0.80762, "in12k": None, "in12k_ft_in1k": 0.82306},
    "v2_atto": {"fcmae_ft_in1k": 0.767},
    "v2_femto": {"fcmae_ft_in1k": 0.785},
    "v2_pico": {"fcmae_ft_in1k": 0.803},
    "v2_nano": {"fcmae_ft_in1k": 0.819, "fcmae_ft_in22k_in1k": 0.821, "fcmae_ft_in22k_in1k_384": 0.834},
    "v2_tiny": {"fcmae_ft_in1k": 0.830, "fcmae_ft_in22k_in1k": 0.839, "fcmae_ft_in22k_in1k_384": 0.851},
    "v2_base": {"fcmae_ft_in1k": 0.849, "fcmae_ft_in22k_in1k": 0.868, "fcmae_ft_in22k_in1k_384": 0.877},
    "v2_large": {"fcmae_ft_in1k": 0.858, "fcmae_ft_in22k_in1k": 0.873, "fcmae_ft_in22k_in1k_384": 0.882},
    "v2_huge": {"fcmae_ft_in1k": 0.863, "fcmae_ft_in22k_in1k_384": 0.887, "fcmae_ft_in22k_in1k_512": 0.889},
}

DEMO = Variant(
    name="demo",
    architecture=Architecture(depths=(2, 3, 4, 1), dims=(32, 64, 128, 192), patch=2, classes=10),
    # mean and standard deviation of the training images of CIFAR-10, which are not resized
    preprocessing=Preprocessing(
        resolution=32, crop=1.0, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
    ),
    published_top1=None,
    license="apache-2.0",
    source="calibration/demo",
)


def variants() -> list[Variant]:
    """Return all known variants: first the sizes alone, then those with a tag."""
    default = [_variant(size, next(iter(tags)), name=size) for size, tags in PUBLISHED.items()]
    chosen = [
        _variant(size, tag, name=f"{size}.{tag}")
        for size, tags in PUBLISHED.items()
        for tag in list(tags)[1:]
    ]
    return [*default, DEMO, *chosen]


def find_variant(name: str) -> Variant:
    """Return the variant of that name, which may begin with timm's `convnext_` or `convnextv2_`.

    Raises UsageError, which lists the known names, for an unknown name.
    """
    known = {variant.name: variant for variant in variants()}
    sought = (
        name.replace("convnextv2_", "v2_", 1)
        if name.startswith("convnextv2_")
        else name.removeprefix("convnext_")
    )
    size, _, tag = sought.partition(".")
    if tag and tag == next(iter(PUBLISHED.get(size, {})), None):
        sought = size
    if sought not in known:
        raise UsageError(f"There is no variant {name!r}.", hint=f"Known variants: {', '.join(known)}.")
    return known[sought]


def match(architecture: Architecture) -> str | None:
    """Return the name of the size (or `demo`) whose tensors this architecture has, but for those of a head.

    None where no published model has them.
    """
    sought = visible(architecture)
    return next((name for name, size in known_sizes().items() if visible(size) == sought), None)


def known_sizes() -> dict[str, Architecture]:
    """Return the architectures of all sizes and of the demo, by name."""
    return {**SIZES, DEMO.name: DEMO.architecture}


def visible(architecture: Architecture) -> Architecture:
    """Return an architecture with the usual values for the head, and for all that shows in no tensor."""
    usual = Architecture(architecture.depths, architecture.dims)
    return replace(
        architecture,
        classes=usual.classes,
        head_bias=usual.head_bias,
        norm="layernorm" if architecture.norm_bias else "rmsnorm",
        eps=usual.eps,
        last_eps=usual.last_eps,
        activation=usual.activation,
        pooling=usual.pooling,
        output_stride=usual.output_stride,
        last_norm=usual.last_norm,
        pooled=usual.pooled,
        maps=usual.maps,
        map_norms=usual.map_norms,
        map_last_norm=usual.map_last_norm,
    )


def _variant(size: str, tag: str, *, name: str) -> Variant:
    meaning = TAGS[tag]
    timm_size = size.replace("v2_", "convnextv2_") if size.startswith("v2_") else f"convnext_{size}"
    return Variant(
        name=name,
        architecture=replace(SIZES[size], classes=meaning.classes),
        preprocessing=Preprocessing(resolution=meaning.resolution, crop=meaning.crop),
        published_top1=PUBLISHED[size][tag],
        license="cc-by-nc-4.0" if SIZES[size].grn else "apache-2.0",
        source=f"timm/{timm_size}.{tag}",
    )
