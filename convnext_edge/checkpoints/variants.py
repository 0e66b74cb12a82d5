"""The published ConvNeXt models by name: their architecture, weights and accuracy.

A name is a size, as in `tiny` or `v2_tiny`, with the tag of its training as timm writes it, as in
`tiny.fb_in22k_ft_in1k_384`; a size alone means the first tag of its row in `published`. What torchvision,
transformers and the hub call a model is a name as well; upernet_tiny is the segmenter on a `tiny`,
mask_rcnn_tiny and cascade_mask_rcnn_tiny are the detectors on one. This module needs no PyTorch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints import detectors
from convnext_edge.checkpoints.published import PUBLISHED, TAGS
from convnext_edge.checkpoints.sizes import SIZES, visible
from convnext_edge.checkpoints.upernets import LICENSE, UPERNETS, prepared, repository, upernet
from convnext_edge.detection import Detection
from convnext_edge.errors import UsageError, nearest
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.tasks import Task
from convnext_edge.upernet import USUAL_BINS


@dataclass(frozen=True)
class Variant:
    """A published set of weights, with its architecture and preprocessing."""

    name: str
    architecture: Architecture
    preprocessing: Preprocessing
    # Fraction of the ImageNet-1k validation set, with this preprocessing; None where none is published.
    published_top1: float | None
    license: str  # of the weights: an SPDX identifier, or the name of the model card, in lower case
    # Repository of the Hugging Face hub; of a detector the address of a file, of `demo` a folder of ours.
    source: str
    task: Task = "classify"  # what the outputs mean
    published_miou: float | None = None  # of a segmenter: a fraction, on ADE20K, of windows at one scale
    published_box_ap: float | None = None  # of a detector: a fraction, on COCO
    published_mask_ap: float | None = None  # likewise

    @property
    def generation(self) -> str:
        """The generation of ConvNeXt, "v1" or "v2"."""
        return self.architecture.generation

    @property
    def resolution(self) -> int:
        """The edge of the square input, or the rows of another one, in pixels."""
        return self.preprocessing.resolution

    @property
    def classes(self) -> int:
        """The number of classes that the head tells apart."""
        return self.architecture.classes


DEMO = Variant(
    name="demo",
    architecture=Architecture(depths=(2, 3, 4, 1), dims=(32, 64, 128, 192), patch=2, classes=10),
    # mean and standard deviation of the training images of CIFAR-10, which are not resized
    preprocessing=Preprocessing(
        resolution=32,
        crop=1.0,
        resize_mode="squash",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
    published_top1=None,
    license="apache-2.0",
    source="calibration/demo",
)
DEMO_SEGMENT = replace(
    DEMO,
    name="demo_segment",
    architecture=replace(
        DEMO.architecture,
        classes=11,
        last_norm=False,
        pooled=False,
        maps=(0, 1, 2, 3),
        map_norms=(0, 1, 2, 3),
        decoder="upernet",
        decoder_width=64,
        pool_bins=USUAL_BINS,
    ),
    preprocessing=replace(DEMO.preprocessing, resolution=64),
    source="calibration/demo_segment",
    task="segment",
)
DEMO_DETECT = replace(
    DEMO_SEGMENT,
    name="demo_detect",
    architecture=replace(
        DEMO_SEGMENT.architecture,
        decoder="mask_rcnn",
        decoder_width=48,
        pool_bins=(),
        box_width=128,
        mask_width=32,
        detection=Detection("torchvision", candidates=100, proposals=50, detections=10),
    ),
    # what other pictures leave free has the mean colour
    preprocessing=replace(DEMO.preprocessing, resolution=96, resize_mode="corner", pad_color=(125, 123, 114)),
    source="calibration/demo_detect",
    task="detect",
)
# whose weights come with the package
BUNDLED = {variant.name: variant for variant in (DEMO, DEMO_SEGMENT, DEMO_DETECT)}


def variants() -> list[Variant]:
    """Return all known variants: first the sizes alone, then those with a tag."""
    default = [_variant(size, next(iter(tags)), name=size) for size, tags in PUBLISHED.items()]
    chosen = [
        _variant(size, tag, name=f"{size}.{tag}")
        for size, tags in PUBLISHED.items()
        for tag in list(tags)[1:]
    ]
    of_maps = [*map(_segmenter, UPERNETS), *map(_detector, detectors.DETECTORS)]
    return [*default, *BUNDLED.values(), *of_maps, *chosen]


def names() -> list[str]:
    """Return the names of all known variants."""
    return [variant.name for variant in variants()]


def is_variant(name: str) -> bool:
    """Return whether there is a variant of that name, however it is written."""
    try:
        find_variant(name)
    except UsageError:
        return False
    return True


def find_variant(name: str) -> Variant:
    """Return the variant of that name, as timm, torchvision, transformers or the hub write it.

    Raises UsageError, which tells the nearest names, for an unknown name.
    """
    known = {variant.name: variant for variant in variants()}
    sought = canonical(name)
    size, _, tag = sought.partition(".")
    if tag and tag == next(iter(PUBLISHED.get(size, {})), None):
        sought = size
    if sought not in known:
        raise UsageError(
            f"there is no variant {name!r}", hint=f"{nearest(sought, known)}All: convnext-edge variants."
        )
    return known[sought]


def canonical(name: str) -> str:
    """Return the name that the table has for what a library calls a model."""
    repository = name.removeprefix("hf-hub:").removeprefix("hf_hub:")
    if found := of_transformers(repository) or detectors.of_file(repository):
        return found
    plain = repository.removeprefix("timm/")
    if plain.startswith("convnextv2_"):
        return plain.replace("convnextv2_", "v2_", 1)
    return plain.removeprefix("convnext_")


def of_transformers(repository: str) -> str | None:
    """Return our name of a repository in transformers' layout, as `facebook/convnext-tiny-224`, or None."""
    if match := re.fullmatch(r"facebook/convnext-(\w+)-(224|384)(-22k)?(-1k)?", repository):
        size, resolution, pretrained, finetuned = match.groups()
        if pretrained is None:
            return f"{size}.fb_in1k" if finetuned is None and resolution == "224" else None
        return f"{size}.fb_in22k" + (
            ("_ft_in1k" + ("_384" if resolution == "384" else "")) if finetuned else ""
        )
    if match := re.fullmatch(r"facebook/convnextv2-(\w+)-(1k|22k)-(224|384|512)", repository):
        size, pretrained, resolution = match.groups()
        tag = "fcmae_ft_in1k" if pretrained == "1k" else "fcmae_ft_in22k_in1k"
        return f"v2_{size}.{tag}" + ("" if resolution == "224" else f"_{resolution}")
    if match := re.fullmatch(r"openmmlab/upernet-convnext-(\w+)", repository):
        return f"upernet_{match[1]}"
    if match := re.fullmatch(r"facebook/dinov3-convnext-(\w+)-pretrain-lvd1689m", repository):
        return f"{match[1]}.dinov3_lvd1689m"
    return None


def match(architecture: Architecture) -> str | None:
    """Return the name of the size (or `demo`) whose tensors this architecture has, but for those of a head.

    None where no published model has them.
    """
    sought = visible(architecture)
    return next((name for name, size in known_sizes().items() if visible(size) == sought), None)


def known_sizes() -> dict[str, Architecture]:
    """Return the architectures of all sizes and of the demos, by name."""
    return SIZES | {name: variant.architecture for name, variant in BUNDLED.items()}


def _segmenter(size: str) -> Variant:
    return Variant(
        name=f"upernet_{size}",
        architecture=upernet(size),
        preprocessing=prepared(size),
        published_top1=None,
        license=LICENSE,
        source=repository(size),
        task="segment",
        published_miou=UPERNETS[size].miou,
    )


def _detector(name: str) -> Variant:
    training = detectors.DETECTORS[name]
    return Variant(
        name=name,
        architecture=detectors.detector(name),
        preprocessing=detectors.prepared(),
        published_top1=None,
        license=detectors.LICENSE,
        source=detectors.release(name),
        task="detect",
        published_box_ap=training.box_ap,
        published_mask_ap=training.mask_ap,
    )


def _variant(size: str, tag: str, *, name: str) -> Variant:
    meaning = TAGS.get(f"{size}.{tag}") or TAGS[tag]
    timm_size = size.replace("v2_", "convnextv2_") if size.startswith("v2_") else f"convnext_{size}"
    return Variant(
        name=name,
        architecture=replace(SIZES[size], classes=meaning.classes),
        preprocessing=Preprocessing(
            resolution=meaning.resolution,
            crop=meaning.crop,
            mean=meaning.mean,
            std=meaning.std,
            resize_mode=meaning.resize_mode,
        ),
        published_top1=PUBLISHED[size][tag],
        license=meaning.license or ("cc-by-nc-4.0" if SIZES[size].grn else "apache-2.0"),
        source=f"timm/{timm_size}.{tag}",
        task=meaning.task,
    )
