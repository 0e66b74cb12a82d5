"""The trainings of the published models: what a tag means, and which tags each size has.

Sources: top-1 of the tags fb_* from the README of github.com/facebookresearch/ConvNeXt, of fcmae_* from
that of ConvNeXt-V2, of the others from timm's results/results-imagenet.csv at the resolution and crop
given here. Licenses from the model cards under huggingface.co/timm: Apache-2.0 for V1, for V2 the CC BY-NC
4.0 of its authors, which forbids commercial use, and for DINOv3 and EUPE those of Meta.
"""

from __future__ import annotations

from dataclasses import dataclass

from convnext_edge.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Channels, ResizeMode
from convnext_edge.tasks import Task

IN1K, IN12K, IN22K = 1000, 11821, 21841  # classes of ImageNet-1k and of timm's and the authors' larger sets


@dataclass(frozen=True)
class Tag:
    """What the tag of a training determines: the head, and the preprocessing of the evaluation."""

    classes: int = IN1K  # of the head
    resolution: int = 224  # pixels
    crop: float = 0.875  # fraction of the resized edge that is kept
    resize_mode: ResizeMode = "center"
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    task: Task = "classify"
    license: str | None = None  # where it is not that of the generation


HALF = (0.5, 0.5, 0.5)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def clip(resolution: int = 256, *, classes: int = IN1K, squash: bool = False, task: Task = "classify") -> Tag:
    """Return the tag of a tower of OpenCLIP, or of what was trained from one."""
    return Tag(classes, resolution, 1.0, "squash" if squash else "center", CLIP_MEAN, CLIP_STD, task)


def backbone(resolution: int, license: str) -> Tag:
    """Return the tag of a backbone without a head."""
    return Tag(0, resolution, 1.0, task="embed", license=license)


def tower(features: int, resolution: int = 256) -> Tag:
    """Return the tag of a tower of OpenCLIP, whose head is a projection."""
    return clip(resolution, classes=features, task="embed")


# By the tag, or by size and tag where the tag alone does not tell.
TAGS = {
    "fb_in1k": Tag(),
    "fb_in22k": Tag(classes=IN22K),
    "fb_in22k_ft_in1k": Tag(),
    "fb_in22k_ft_in1k_384": Tag(resolution=384, crop=1.0, resize_mode="squash"),
    "d1_in1k": Tag(),
    "d1h_in1k": Tag(crop=0.95),
    "d2_in1k": Tag(),
    "in12k": Tag(classes=IN12K, crop=0.95),
    "in12k_ft_in1k": Tag(crop=0.95),
    "in12k_ft_in1k_384": Tag(resolution=384, crop=1.0, resize_mode="squash"),
    "fcmae_ft_in1k": Tag(),
    "fcmae_ft_in22k_in1k": Tag(),
    "fcmae_ft_in22k_in1k_384": Tag(resolution=384, crop=1.0, resize_mode="squash"),
    "fcmae_ft_in22k_in1k_512": Tag(resolution=512, crop=1.0, resize_mode="squash"),
    "zepto_rms.ra4_e3600_r224_in1k": Tag(mean=HALF, std=HALF),
    "zepto_rms_ols.ra4_e3600_r224_in1k": Tag(crop=0.9, mean=HALF, std=HALF),
    "a2_in1k": Tag(),
    "a2h_in1k": Tag(crop=0.95),
    "pico_ols.d1_in1k": Tag(crop=0.95),
    "r384_in12k": Tag(IN12K, 384, 1.0),
    "r384_ad_in12k": Tag(IN12K, 384, 1.0),
    "r384_in12k_ft_in1k": Tag(IN1K, 384, 1.0),
    "clip_laion2b_augreg_ft_in1k": clip(),
    "clip_laion2b_augreg_ft_in1k_384": clip(384, squash=True),
    "clip_laion2b_augreg_ft_in12k": clip(classes=IN12K),
    "clip_laion2b_augreg_ft_in12k_384": clip(384, classes=IN12K, squash=True),
    "clip_laion2b_augreg_ft_in12k_in1k": clip(),
    "clip_laion2b_augreg_ft_in12k_in1k_384": clip(384, squash=True),
    "clip_laiona_augreg_ft_in1k_384": clip(384),
    "clip_laion2b_soup_ft_in1k": clip(),
    "clip_laion2b_soup_ft_in12k": clip(classes=IN12K),
    "clip_laion2b_soup_ft_in12k_320": clip(320, classes=IN12K),
    "clip_laion2b_soup_ft_in12k_384": clip(384, classes=IN12K, squash=True),
    "clip_laion2b_soup_ft_in12k_in1k_320": clip(320),
    "clip_laion2b_soup_ft_in12k_in1k_384": clip(384, squash=True),
    "clip_laion2b": tower(640),
    "base.clip_laion2b_augreg": tower(640),
    "clip_laiona": tower(640),
    "clip_laiona_320": tower(640, 320),
    "clip_laiona_augreg_320": tower(640, 320),
    "large_mlp.clip_laion2b_augreg": tower(768),
    "clip_laion2b_ft_320": tower(768, 320),
    "clip_laion2b_ft_soup_320": tower(768, 320),
    "clip_laion2b_soup": tower(1024),
    "clip_laion2b_rewind": tower(1024),
    "dinov3_lvd1689m": backbone(224, "dinov3-license"),
    "eupe_lvd1689m": backbone(256, "fair-noncommercial-research-license"),
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
        "dinov3_lvd1689m": None,
        "eupe_lvd1689m": None,
    },
    "small": {
        "fb_in1k": 0.831,
        "fb_in22k": None,
        "fb_in22k_ft_in1k": 0.846,
        "fb_in22k_ft_in1k_384": 0.858,
        "in12k": None,
        "in12k_ft_in1k": 0.85164,
        "in12k_ft_in1k_384": 0.86186,
        "dinov3_lvd1689m": None,
        "eupe_lvd1689m": None,
    },
    "base": {
        "fb_in1k": 0.838,
        "fb_in22k": None,
        "fb_in22k_ft_in1k": 0.858,
        "fb_in22k_ft_in1k_384": 0.868,
        "clip_laion2b_augreg_ft_in1k": 0.86184,
        "clip_laiona_augreg_ft_in1k_384": 0.8649,
        "clip_laion2b_augreg_ft_in12k": None,
        "clip_laion2b_augreg_ft_in12k_in1k": 0.86378,
        "clip_laion2b_augreg_ft_in12k_in1k_384": 0.87144,
        "clip_laion2b": None,
        "clip_laion2b_augreg": None,
        "clip_laiona": None,
        "clip_laiona_320": None,
        "clip_laiona_augreg_320": None,
        "dinov3_lvd1689m": None,
        "eupe_lvd1689m": None,
    },
    "large": {
        "fb_in1k": 0.843,
        "fb_in22k": None,
        "fb_in22k_ft_in1k": 0.866,
        "fb_in22k_ft_in1k_384": 0.875,
        "dinov3_lvd1689m": None,
    },
    "xlarge": {"fb_in22k_ft_in1k": 0.870, "fb_in22k": None, "fb_in22k_ft_in1k_384": 0.878},
    "atto": {"d2_in1k": 0.75672},
    "femto": {"d1_in1k": 0.77498},
    "pico": {"d1_in1k": 0.79516},
    "nano": {
        "d1h_in1k": 0.80762,
        "in12k": None,
        "in12k_ft_in1k": 0.82306,
        "r384_in12k": None,
        "r384_ad_in12k": None,
        "r384_in12k_ft_in1k": 0.83334,
    },
    "v2_atto": {"fcmae_ft_in1k": 0.767},
    "v2_femto": {"fcmae_ft_in1k": 0.785},
    "v2_pico": {"fcmae_ft_in1k": 0.803},
    "v2_nano": {"fcmae_ft_in1k": 0.819, "fcmae_ft_in22k_in1k": 0.821, "fcmae_ft_in22k_in1k_384": 0.834},
    "v2_tiny": {"fcmae_ft_in1k": 0.830, "fcmae_ft_in22k_in1k": 0.839, "fcmae_ft_in22k_in1k_384": 0.851},
    "v2_base": {"fcmae_ft_in1k": 0.849, "fcmae_ft_in22k_in1k": 0.868, "fcmae_ft_in22k_in1k_384": 0.877},
    "v2_large": {"fcmae_ft_in1k": 0.858, "fcmae_ft_in22k_in1k": 0.873, "fcmae_ft_in22k_in1k_384": 0.882},
    "v2_huge": {"fcmae_ft_in1k": 0.863, "fcmae_ft_in22k_in1k_384": 0.887, "fcmae_ft_in22k_in1k_512": 0.889},
    "zepto_rms": {"ra4_e3600_r224_in1k": 0.7282},
    "zepto_rms_ols": {"ra4_e3600_r224_in1k": 0.73234},
    "atto_ols": {"a2_in1k": 0.75902},
    "femto_ols": {"d1_in1k": 0.77852},
    "pico_ols": {"d1_in1k": 0.79542},
    "nano_ols": {"d1h_in1k": 0.80906},
    "tiny_hnf": {"a2h_in1k": 0.8223},
    "large_mlp": {
        "clip_laion2b_augreg_ft_in1k": 0.87344,
        "clip_laion2b_augreg_ft_in1k_384": 0.8789,
        "clip_laion2b_augreg_ft_in12k_384": None,
        "clip_laion2b_soup_ft_in12k_320": None,
        "clip_laion2b_soup_ft_in12k_384": None,
        "clip_laion2b_soup_ft_in12k_in1k_320": 0.8797,
        "clip_laion2b_soup_ft_in12k_in1k_384": 0.88334,
        "clip_laion2b_augreg": None,
        "clip_laion2b_ft_320": None,
        "clip_laion2b_ft_soup_320": None,
    },
    "xxlarge": {
        "clip_laion2b_soup_ft_in1k": 0.88622,
        "clip_laion2b_soup_ft_in12k": None,
        "clip_laion2b_soup": None,
        "clip_laion2b_rewind": None,
    },
}
