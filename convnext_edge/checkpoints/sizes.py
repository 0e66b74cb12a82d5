"""The architectures of the published models by their sizes, as timm calls them without its prefix."""

from __future__ import annotations

from dataclasses import replace

from convnext_edge.architecture import Architecture

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
    "zepto_rms": Architecture((2, 2, 4, 2), (32, 64, 128, 256), norm="simplenorm", norm_bias=False),
}
SIZES |= {
    "zepto_rms_ols": replace(SIZES["zepto_rms"], stem="overlap_act", stem_width=32),
    "atto_ols": replace(SIZES["atto"], stem="overlap", stem_width=24),
    "femto_ols": replace(SIZES["femto"], stem="overlap", stem_width=24),
    "pico_ols": replace(SIZES["pico"], stem="overlap", stem_width=32),
    "nano_ols": replace(SIZES["nano"], stem="overlap", stem_width=80),
    "tiny_hnf": replace(SIZES["tiny"], norm_first=True),
    "large_mlp": replace(SIZES["large"], hidden=1536),
    "xxlarge": Architecture((3, 4, 30, 3), (384, 768, 1536, 3072), eps=1e-5, last_eps=1e-5),
}

# Without weights that are of use, but their shapes tell what shows in no tensor. timm's test_convnext2 and
# test_convnext3 have one shape but for the kernels.
UNPUBLISHED = {
    "atto_rms": replace(SIZES["atto"], norm="rmsnorm", norm_bias=False),
    "test_convnext": Architecture(
        (1, 2, 4, 2), (24, 32, 48, 64), eps=1e-5, last_eps=1e-5, activation="gelu_tanh"
    ),
    "test_convnext2": Architecture(
        (1, 1, 1, 1), (32, 64, 96, 128), eps=1e-5, last_eps=1e-5, activation="gelu_tanh"
    ),
    "test_convnext3": Architecture(
        (1, 1, 1, 1), (32, 64, 96, 128), eps=1e-5, last_eps=1e-5, activation="silu", kernels=(7, 5, 5, 3)
    ),
}


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
