"""What a `config.json` of transformers or timm says of a model that shows in no tensor of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field

from convnext_edge.architecture import Activation, Architecture, NormKind, Pooling
from convnext_edge.checkpoints.config import Config, find_config
from convnext_edge.checkpoints.sizes import UNPUBLISHED
from convnext_edge.checkpoints.variants import known_sizes
from convnext_edge.detection import Detection
from convnext_edge.errors import CheckpointError
from convnext_edge.progress import note
from convnext_edge.reading import Epsilon, Shape
from convnext_edge.upernet import USUAL_BINS

OF_DETECTORS = ("candidates", "proposals", "score_threshold", "max_detections")  # of the fields of `Traits`
TRANSFORMERS_TYPES = ("convnext", "convnextv2", "dinov3_convnext")

# Names of activations: timm's and transformers' -> ours.
ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "hard_swish": "hardswish",
    "hardswish": "hardswish",
}
POOLINGS: dict[str, Pooling] = {name: name for name in get_args(Pooling)}
NORMS: dict[str, NormKind] = {
    "layernorm": "layernorm",
    "layernorm2d": "layernorm",
    "simplenorm": "simplenorm",
    "simplenorm2d": "simplenorm",
    "rmsnorm": "rmsnorm",
    "rmsnorm2d": "rmsnorm",
}


@dataclass(frozen=True)
class Traits:
    """Values that show in no tensor; None where nothing tells them."""

    activation: Activation | None = None
    norm: NormKind | None = None  # of norms without a bias
    norm_eps: float | None = None  # of all norms
    last_eps: float | None = None  # of the last norm, where it has its own, as in transformers
    pooling: Pooling | None = None
    output_stride: int | None = None
    pool_bins: tuple[int, ...] | None = None  # of a decoder's pyramid pooling
    # Of a detector, as in `Detection`.
    candidates: int | None = None
    proposals: int | None = None
    score_threshold: float | None = None
    max_detections: int | None = None

    def over(self, other: Traits) -> Traits:
        """Return these values, and those of `other` where this has none."""
        return replace(other, **{key: value for key, value in vars(self).items() if value is not None})

    def detection(self, shown: Detection | None) -> Detection | None:
        """Return how a detector finds objects, with what is told here."""
        told = {
            "candidates": self.candidates,
            "proposals": self.proposals,
            "score": self.score_threshold,
            "detections": self.max_detections,
        }
        given: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
        return None if shown is None else replace(shown, **given)

    def told(self) -> list[str]:
        """Return the names of the values that are told."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


class ArgumentsShape(Shape):
    """What is read of timm's `model_args`; of the other values, `named` says what they may be."""

    dims: list[int] | None = None
    depths: list[int] | None = None
    use_grn: bool | None = None
    norm_eps: Epsilon | None = None


class BackboneShape(Shape):
    """What is read of a ConvNeXt's config of transformers."""

    model_type: str | None = None
    hidden_act: str | None = None
    layer_norm_eps: Epsilon | None = None
    hidden_sizes: list[int] | None = None
    depths: list[int] | None = None
    patch_size: int | None = None
    num_channels: int | None = None


class UPerNetShape(Shape):
    """What is read of transformers' config of a UPerNet, which holds that of its backbone."""

    backbone_config: BackboneShape | None = None
    hidden_size: int | None = None
    pool_scales: Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(max_length=100)] | None = None


class ConfigShape(BackboneShape):
    """What is read of a `config.json` of transformers or timm."""

    architecture: str | None = None
    global_pool: str | None = None
    model_args: ArgumentsShape | None = None


def traits_of(known: Architecture) -> Traits:
    """Return all that shows in no tensor of a model that is known."""
    norm = None if known.norm_bias else known.norm
    whole = known.output_stride or known.stride  # no dilation is a stride of the whole model
    return Traits(known.activation, norm, known.eps, pooling=known.pooling, output_stride=whole)


def obey_config(path: Path, shown: Architecture) -> tuple[Traits, Config | None]:
    """Return what a `config.json` beside a checkpoint says, and that config where it is of this model."""
    config = find_config(path.parent)
    if config is None:
        return Traits(), None
    config.check(ConfigShape)
    traits = of_config(config.values, shown, config.place)
    if traits is None:
        note(f"{config.place} is not obeyed: it tells of no ConvNeXt with these shapes")
        return Traits(), None
    return traits, config


def of_config(found: dict[str, Any], shown: Architecture, place: Path) -> Traits | None:
    """Return what a config says; None where it is of no ConvNeXt, or of one with other shapes."""
    if (found.get("model_type") == "upernet") != (shown.decoder == "upernet"):
        return None
    if shown.decoder == "upernet":
        return of_upernet(found, shown, place)
    return of_backbone(found, shown, place)


def of_upernet(found: dict[str, Any], shown: Architecture, place: Path) -> Traits | None:
    """Return what transformers' config of a UPerNet says; None where it is of other shapes."""
    Config(place, found).check(UPerNetShape)
    bins = tuple(found.get("pool_scales") or USUAL_BINS)
    width = found.get("hidden_size") or shown.decoder_width
    if (len(bins), width) != (len(shown.pool_bins), shown.decoder_width):
        return None
    traits = of_backbone(found.get("backbone_config") or {}, shown, place)
    return None if traits is None else replace(traits, pool_bins=bins)


def of_backbone(found: dict[str, Any], shown: Architecture, place: Path) -> Traits | None:
    """Return what a config of a ConvNeXt alone says; None as of `of_config`."""
    if found.get("model_type") in TRANSFORMERS_TYPES:
        of_lists = (("hidden_sizes", shown.dims), ("depths", shown.depths))
        of_numbers = (("patch_size", shown.patch), ("num_channels", shown.channels))
        fits = (
            all(tuple(found.get(key) or mine) == mine for key, mine in of_lists)
            and all((found.get(key) or mine) == mine for key, mine in of_numbers)
            and (found["model_type"] == "convnextv2") == shown.grn
        )
        return of_transformers(found, shown, place) if fits else None
    architecture = str(found.get("architecture")).partition(".")[0]
    if not architecture.startswith(("convnext", "test_convnext")):
        return None
    name = architecture.removeprefix("convnext_").replace("convnextv2_", "v2_")
    size = {**known_sizes(), **UNPUBLISHED}.get(name)
    arguments = found.get("model_args") or {}
    size_of = shown if size is None else size
    dims = tuple(arguments.get("dims") or size_of.dims)
    depths = tuple(arguments.get("depths") or size_of.depths)
    grn = size_of.grn if arguments.get("use_grn") is None else arguments["use_grn"]
    if (dims, depths, grn) != (shown.dims, shown.depths, shown.grn):
        return None
    own = Traits() if size is None else traits_of(size)
    return of_timm(found, place).over(own)


def of_transformers(config: dict[str, Any], shown: Architecture, place: Path) -> Traits:
    """Return what a config of transformers says; its models have no dilation, and average."""
    eps = config.get("layer_norm_eps")
    everywhere = config["model_type"] == "dinov3_convnext"
    return Traits(
        activation=named(config.get("hidden_act"), ACTIVATIONS, "hidden_act", place),
        norm_eps=eps if everywhere else None,
        last_eps=None if everywhere else eps,
        pooling="avg",
        output_stride=shown.stride,
    )


def of_timm(config: dict[str, Any], place: Path) -> Traits:
    """Return what a config of timm changes of the model that it names; `model_args` goes first, as there."""
    arguments = config.get("model_args") or {}
    pooling = arguments.get("global_pool") or config.get("global_pool")
    strides = {stride: stride for stride in (8, 16, 32)}
    return Traits(
        activation=named(arguments.get("act_layer"), ACTIVATIONS, "act_layer", place),
        norm=named(arguments.get("norm_layer"), NORMS, "norm_layer", place),
        norm_eps=arguments.get("norm_eps"),
        pooling=named(pooling, POOLINGS, "global_pool", place),
        output_stride=named(arguments.get("output_stride"), strides, "output_stride", place),
    )


def named(value: Any, known: Mapping[Any, Any], key: str, place: Path) -> Any:
    """Return our word for a value of a config, None for None; raise CheckpointError where there is none."""
    if value is None:
        return None
    if not isinstance(value, Hashable) or value not in known:
        raise CheckpointError(
            f"{place} says {key} {value!r}, which no model of ours has",
            hint=f"Known are {', '.join(map(str, known))}.",
        )
    return known[value]
