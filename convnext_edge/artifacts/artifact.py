"""What is known of an artifact: the values that its sidecar holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from convnext_edge.architecture import Architecture
from convnext_edge.cpu import Machine
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.tasks import Task

Kind = Literal["weights", "onnx", "engine"]
# The precision of an engine whose values are rounded to INT8 codes, and multiplied in float.
FAKE_QUANTIZED = "fake-quantized"
Form = Literal["plain", "linear", "rows", "tiled", "conv"]  # how a model is lowered, see `network.lowering`


@dataclass(frozen=True)
class Link:
    """Another artifact, found by its name beside this one and trusted by its digest."""

    name: str  # of the file
    sha256: str  # 64 hex digits


@dataclass(frozen=True)
class Calibration:
    """The images that the ranges of activations were taken from."""

    name: str  # of the image set
    images: int  # how many
    digest: str  # of the images together, 64 hex digits


@dataclass(frozen=True)
class Verdict:
    """What was found of a model when it was made."""

    passed: bool  # all gates that were set
    gates: tuple[str, ...] = ()  # what those are on
    unmet: tuple[str, ...] = ()  # of each that is not met: which, and why
    warnings: tuple[str, ...] = ()  # why not to rely on the model, as sentences


@dataclass(frozen=True)
class Description:
    """All that a sidecar says of its artifact, except the digests, which are taken when it is written."""

    kind: Kind
    stem: str  # the name that its files begin with: the variant, or the checkpoint's file name
    variant: str | None  # its name in the table of variants; None for an architecture that has none
    architecture: Architecture
    preprocessing: Preprocessing
    precision: str = "fp32"  # as "fp32", "int8", "w8a16"
    target: str | None = None  # None: the artifact is made for none in particular
    input_type: InputType = "float32"
    task: Task = "classify"
    dynamic_size: bool = False  # whether images may have any height and width
    method: str | None = None  # how it was quantized, as "ptq"; None where nothing is
    recipe: dict[str, Any] | None = None
    calibration: Calibration | None = None
    # First 16 hex digits of the SHA-256 of each calibration image, so that images that were calibrated
    # with are recognized when a model is validated.
    calibration_hashes: tuple[str, ...] = ()
    quantized_layers: tuple[str, ...] = ()
    float_layers: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()  # names in the order of the logits, or empty
    engine: dict[str, Any] | None = None  # how it was built: runtime, version and what else a target records
    assumed: tuple[str, ...] = ()  # of the model: what no tensor shows, nothing told and nobody proved
    layout: str | None = None  # of the checkpoint that the weights came from, as `timm_v1`; None if unknown
    # The variant's own resolution in pixels, and what the recipe is called where it is not the target's own:
    # names of files carry what differs from these.
    usual_resolution: int | None = None
    recipe_name: str | None = None
    form: Form | None = None  # of a quantized model; None: the one that its target has on x86-64
    machine: Machine | None = None  # that its form is for, where the target has several; else None
    opset: int | None = None  # of ONNX's operators, as asked for; None for the usual one
    weights: Link | None = None  # the FP32 weights that all of it goes back to
    parent: Link | None = None  # the artifact that it was made from
    verdict: Verdict | None = None  # None: never judged, as an export; an engine has that of its model

    @property
    def has_int8_layers(self) -> bool:
        """Whether weights and activations of some layers have 8 bits, however they are multiplied."""
        return self.precision in ("int8", FAKE_QUANTIZED) or "a8" in self.precision

    @property
    def weights_only(self) -> bool:
        """Return whether weights are quantized and activations float, as in `w8a32`."""
        return self.precision.startswith("w") and self.precision.endswith("a32")


@dataclass(frozen=True)
class Artifact:
    """A file of ours, with what its sidecar says of it."""

    path: Path
    description: Description
    files: dict[str, str]  # SHA-256 of each file by name, companions included
    tools: dict[str, str] = field(default_factory=dict)  # version of each package that shaped it
    command: str = ""  # the command line that made it

    @property
    def sha256(self) -> str:
        """Return the digest of the file itself."""
        return self.files[self.path.name]

    @property
    def link(self) -> Link:
        """Return the link by which other artifacts find this one."""
        return Link(self.path.name, self.sha256)

    @property
    def bytes(self) -> int:
        """Return the size of all its files together."""
        return sum((self.path.parent / name).stat().st_size for name in self.files)
