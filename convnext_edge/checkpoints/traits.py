"""What shows in no tensor of a checkpoint: the activation, epsilon, pooling and the like.

They are taken from the options of a command, from a `config.json` of transformers or timm beside the file, or
from the published model of the same shapes, in this order. What none of them tells is assumed, and said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.config import Config
from convnext_edge.checkpoints.config_traits import OF_DETECTORS, Traits, obey_config, traits_of
from convnext_edge.checkpoints.sizes import UNPUBLISHED, visible
from convnext_edge.checkpoints.variants import known_sizes
from convnext_edge.detection import OFFSETS, Detection
from convnext_edge.errors import CheckpointError
from convnext_edge.progress import note
from convnext_edge.upernet import USUAL_BINS

OUTPUT_STRIDE_OF_TIMM = 32
EPS_OF_TRANSFORMERS = 1e-12  # of the last norm of ConvNextModel, where no config says otherwise
CENTRES, EDGES = ([f"{each:g}" for each in values] for values in zip(*OFFSETS, strict=True))
OF_CASCADE = (
    f"offsets of the box heads in parts of {', '.join(CENTRES)} of a box for its centre, and of"
    f" {', '.join(EDGES)} for its edges"
)


@dataclass(frozen=True)
class Resolved:
    """An architecture with all that shows in no tensor, and where that came from."""

    architecture: Architecture
    assumed: tuple[str, ...]  # values that nothing told, as "activation gelu"
    config: Config | None = None  # the file beside the checkpoint that was obeyed


def resolve(shown: Architecture, family: str, path: Path, asked: Traits) -> Resolved:
    """Complete the architecture that the tensors of the checkpoint `path` show.

    family: the library whose names the tensors have. asked: what the user says. The published model of the
    same shapes gives values, but proves nothing: anybody may have trained these shapes in another way.
    Raises CheckpointError for a value that no model of ours has, or none of these tensors.
    """
    told, config = obey_config(path, shown)
    known = asked.over(told)
    published = of_published(shown)
    if family == "transformers":  # whose last norm has an epsilon of its own, whatever the shapes
        published = replace(published, norm_eps=None)
    architecture = apply(known.over(published), shown, family)
    check_fits(architecture, shown, known, path)
    return Resolved(architecture, tuple(assumptions(known, architecture)), config)


def check_fits(architecture: Architecture, shown: Architecture, known: Traits, path: Path) -> None:
    """Raise CheckpointError for a value that the tensors contradict, or that nothing tells."""
    if 0 in architecture.pool_bins:
        raise CheckpointError(
            f"{path} has a pyramid pooling of {len(architecture.pool_bins)} sizes, and nothing tells them",
            hint=f"Put its config.json of transformers beside it; only {USUAL_BINS} are taken without one.",
        )
    of_detector = [name for name in known.told() if name in OF_DETECTORS]
    if of_detector and architecture.detection is None:
        raise CheckpointError(
            f"--{of_detector[0].replace('_', '-')} is of a detector, and {path} is none", hint="Leave it out."
        )
    if architecture.shapes() != shown.shapes():
        raise CheckpointError(
            f"{path} has a head for {shown.pooling} pooling, not for {architecture.pooling}",
            hint=f"Take --pooling {shown.pooling}.",
        )
    if known.norm not in (None, architecture.norm):
        raise CheckpointError(
            f"{path} has norms with a bias, which is LayerNorm and not {known.norm}",
            hint="Leave --norm out, or mend the config beside the file.",
        )


def apply(traits: Traits, shown: Architecture, family: str) -> Architecture:
    """Return `shown` with the values that are told, and the usual ones of the library for the others."""
    eps = 1e-6 if traits.norm_eps is None else traits.norm_eps
    usual = EPS_OF_TRANSFORMERS if family == "transformers" and traits.norm_eps is None else eps
    norm = shown.norm if shown.norm_bias else traits.norm or "rmsnorm"
    # timm's models have 32 where nothing else is said, also those with patches of 8 or 16 pixels
    told = traits.output_stride or (OUTPUT_STRIDE_OF_TIMM if family == "timm" else shown.stride)
    dilates = told < shown.stride
    return replace(
        shown,
        activation=traits.activation or "gelu",
        norm=norm,
        eps=eps,
        last_eps=usual if traits.last_eps is None else traits.last_eps,
        pooling=traits.pooling or shown.pooling,
        output_stride=told if dilates else None,
        pool_bins=traits.pool_bins or shown.pool_bins,
        detection=traits.detection(shown.detection),
    )


def changed(architecture: Architecture, traits: Traits, path: Path) -> dict[str, Any]:
    """Return the fields of the architecture of kept weights that `traits` change; raise as `resolve` does."""
    if traits.told():
        check_fits(apply(traits, architecture, ""), architecture, traits, path)
    told = {name: getattr(traits, name) for name in traits.told() if name not in OF_DETECTORS}
    if architecture.detection is not None:
        told["detection"] = traits.detection(architecture.detection)
    eps = told.pop("norm_eps", None)
    told.pop("last_eps", None)
    return told if eps is None else {**told, "eps": eps, "last_eps": eps}


def assumptions(known: Traits, architecture: Architecture) -> Iterator[str]:
    """Yield the values of an architecture that nothing told, as a user reads them."""
    if known.activation is None:
        yield f"activation {architecture.activation}"
    if known.norm is None and not architecture.norm_bias:
        yield f"norm {architecture.norm} (timm's zepto has simplenorm)"
    if known.norm_eps is None and known.last_eps is None:
        yield f"epsilon {architecture.last_eps:g}"
    if known.pooling is None and architecture.pooled:
        yield f"{architecture.pooling} pooling"
    if known.pool_bins is None and architecture.pool_bins:
        yield f"pyramid pooling to {', '.join(map(str, architecture.pool_bins))}"
    if architecture.detection is not None:
        yield from assumed_of_detection(known, architecture.detection)
    if architecture.cascade is not None:
        yield OF_CASCADE
    if known.output_stride is None:
        dilated = architecture.output_stride is not None
        yield f"output stride {architecture.output_stride}" if dilated else "strides and no dilation"


def assumed_of_detection(known: Traits, found: Detection) -> Iterator[str]:
    """Yield how a detector finds objects, as far as nothing told it."""
    yield f"anchors and overlaps as in {found.library}"
    if known.candidates is None:
        yield f"{found.candidates} candidates of each level"
    if known.proposals is None:
        yield f"{found.proposals} proposals"
    if known.score_threshold is None:
        yield f"scores above {found.score:g}"
    if known.max_detections is None:
        yield f"at most {found.detections} detections"


def still_assumed(assumed: tuple[str, ...], told: Traits, before: Architecture) -> tuple[str, ...]:
    """Return what of `assumed` the values that are told do not settle. before: what it was assumed of."""
    settled = set(assumptions(Traits(), before)) - set(assumptions(told, before))
    return tuple(each for each in assumed if each not in settled)


def tell_assumed(assumed: tuple[str, ...], name: str) -> None:
    """Say what is assumed of the weights of that name."""
    if assumed:
        note(
            f"{name}: no tensor shows it, so it is assumed: {', '.join(assumed)}."
            " Options change it, and --expect proves it"
        )


def of_published(shown: Architecture) -> Traits:
    """Return the values of the published model that has these shapes, if one has."""
    sizes = {**known_sizes(), **UNPUBLISHED}.values()
    known = next((size for size in sizes if visible(size) == visible(shown)), None)
    if known is None:
        return Traits()
    return traits_of(known)
