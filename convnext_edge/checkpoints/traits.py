"""What shows in no tensor of a checkpoint: the activation, epsilon, pooling and the like.

They are taken from the options of a command, from a `config.json` of transformers or timm beside the file, or
from the published model of the same shapes, in this order. What none of them tells is assumed, and said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from convnext_edge.architecture import Activation, Architecture, NormKind, Pooling
from convnext_edge.checkpoints.sizes import UNPUBLISHED, visible
from convnext_edge.checkpoints.variants import known_sizes
from convnext_edge.errors import CheckpointError
from convnext_edge.reading import Shape, read_json

CONFIG = "config.json"
TRANSFORMERS_TYPES = ("convnext", "convnextv2", "dinov3_convnext")
EPS_OF_TRANSFORMERS = 1e-12  # of the last norm of ConvNextModel, where no config says otherwise

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
    norm_eps: float | None = None
    pooling: Pooling | None = None
    output_stride: int | None = None

    def over(self, other: Traits) -> Traits:
        """Return these values, and those of `other` where this has none."""
        return replace(other, **{key: value for key, value in vars(self).items() if value is not None})

    def told(self) -> list[str]:
        """Return the names of the values that are told."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


@dataclass(frozen=True)
class Resolved:
    """An architecture with all that shows in no tensor, and where that came from."""

    architecture: Architecture
    assumed: tuple[str, ...]  # values that nothing told, as "activation gelu"
    config: str | None = None  # name of the file beside the checkpoint that was obeyed


class ConfigShape(Shape):
    """What is read of a `config.json` of transformers or timm."""

    model_type: str | None = None
    hidden_act: str | None = None
    layer_norm_eps: float | None = None
    architecture: str | None = None
    global_pool: str | None = None
    model_args: dict[str, Any] | None = None
    hidden_sizes: list[int] | None = None


def resolve(shown: Architecture, family: str, path: Path, asked: Traits) -> Resolved:
    """Complete the architecture that the tensors of the checkpoint `path` show.

    family: the library whose names the tensors have. asked: what the user says.
    Raises CheckpointError for a value in a config beside the file that no model of ours has.
    """
    config, source = read_config(path, shown)
    known = asked.over(config).over(of_published(shown))
    architecture = apply(known, shown, family)
    return Resolved(architecture, tuple(assumptions(known, architecture)), source)


def apply(traits: Traits, shown: Architecture, family: str) -> Architecture:
    """Return `shown` with the values that are told, and the usual ones of the library for the others."""
    eps = 1e-6 if traits.norm_eps is None else traits.norm_eps
    last = eps
    if family == "transformers":
        # its layer_norm_eps is that of the last norm alone
        eps, last = 1e-6, EPS_OF_TRANSFORMERS if traits.norm_eps is None else traits.norm_eps
    norm = shown.norm if shown.norm_bias else traits.norm or "rmsnorm"
    return replace(
        shown,
        activation=traits.activation or "gelu",
        norm=norm,
        eps=eps,
        last_eps=last,
        pooling=traits.pooling or shown.pooling,
        output_stride=traits.output_stride,
    )


def changed(architecture: Architecture, traits: Traits) -> dict[str, Any]:
    """Return the fields of an architecture that `traits` change."""
    told = {name: getattr(traits, name) for name in traits.told()}
    eps = told.pop("norm_eps", None)
    return told if eps is None else {**told, "eps": eps, "last_eps": eps}


def assumptions(known: Traits, architecture: Architecture) -> Iterator[str]:
    """Yield the values of an architecture that nothing told, as a user reads them."""
    if known.activation is None:
        yield f"activation {architecture.activation}"
    if known.norm is None and not architecture.norm_bias:
        yield f"norm {architecture.norm} (timm's zepto has simplenorm)"
    if known.norm_eps is None:
        yield f"epsilon {architecture.last_eps:g}"
    if known.pooling is None and architecture.pooled:
        yield f"{architecture.pooling} pooling"
    if known.output_stride is None:
        yield "strides and no dilation"


def of_published(shown: Architecture) -> Traits:
    """Return the values of the published model that has these shapes, if one has."""
    sizes = {**known_sizes(), **UNPUBLISHED}.values()
    known = next((size for size in sizes if visible(size) == visible(shown)), None)
    if known is None:
        return Traits()
    return Traits(known.activation, known.norm, known.eps, known.pooling, known.output_stride)


def read_config(path: Path, shown: Architecture) -> tuple[Traits, str | None]:
    """Return what a `config.json` beside a checkpoint says, and its name where it is of this model."""
    place = path.with_name(CONFIG)
    if not place.is_file():
        return Traits(), None
    found = read_json(place, ConfigShape, hint="Repair it, or move it away.", kind=CheckpointError)
    if found.get("model_type") in TRANSFORMERS_TYPES:
        if tuple(found.get("hidden_sizes") or shown.dims) != shown.dims:
            return Traits(), None
        activation = named(found.get("hidden_act"), ACTIVATIONS, "hidden_act", place)
        return Traits(activation=activation, norm_eps=found.get("layer_norm_eps"), pooling="avg"), CONFIG
    if not str(found.get("architecture")).startswith(("convnext", "test_convnext")):
        return Traits(), None
    arguments = found.get("model_args") or {}
    return (
        Traits(
            activation=named(arguments.get("act_layer"), ACTIVATIONS, "act_layer", place),
            norm=named(arguments.get("norm_layer"), NORMS, "norm_layer", place),
            norm_eps=arguments.get("norm_eps"),
            pooling=found.get("global_pool") or arguments.get("global_pool"),
            output_stride=arguments.get("output_stride"),
        ),
        CONFIG,
    )


def named(value: Any, known: dict[str, Any], key: str, place: Path) -> Any:
    """Return our word for a value of a config, None for None; raise CheckpointError where there is none."""
    if value is None:
        return None
    if value not in known:
        raise CheckpointError(
            f"{place} says {key} {value!r}, which no model of ours has",
            hint=f"Known are {', '.join(known)}.",
        )
    return known[value]
