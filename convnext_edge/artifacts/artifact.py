"""What is known of an artifact: the values that its sidecar holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from convnext_edge.images.preprocessing import InputType, Preprocessing

Kind = Literal["weights", "onnx", "engine"]


@dataclass(frozen=True)
class Link:
    """Another artifact, found by its name beside this one and trusted by its digest."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Calibration:
    """The images that ranges were taken from."""

    name: str
    images: int
    digest: str


@dataclass(frozen=True)
class Description:
    """What a sidecar says of its artifact, but for the digests, which come with the writing.

    stem: what its files are called by: the variant, or the checkpoint's file name. variant: its name in
    the table, or None for an architecture that has none. classes: names in the order of the logits, or
    empty. precision: as `fp32`, `int8`, `w8a16`. method: how it was quantized, or None.
    engine: how an engine was built: runtime, version and what else its target records.
    calibration_hashes: first 16 hex digits of the SHA-256 of each calibration image, so that images that
    were calibrated with are recognized when a model is validated.
    """

    kind: Kind
    stem: str
    variant: str | None
    architecture: dict[str, Any]
    preprocessing: Preprocessing
    precision: str = "fp32"
    target: str | None = None
    input_type: InputType = "float32"
    method: str | None = None
    recipe: dict[str, Any] | None = None
    calibration: Calibration | None = None
    calibration_hashes: tuple[str, ...] = ()
    quantized_layers: tuple[str, ...] = ()
    float_layers: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    engine: dict[str, Any] | None = None
    weights: Link | None = None
    parent: Link | None = None

    @property
    def weights_only(self) -> bool:
        """Whether weights are quantized and activations float, as in `w8a32`."""
        return self.precision.startswith("w") and self.precision.endswith("a32")


@dataclass(frozen=True)
class Artifact:
    """A file of ours with what its sidecar says. `files`: digest of each file, companions included."""

    path: Path
    description: Description
    files: dict[str, str]
    tools: dict[str, str] = field(default_factory=dict)
    command: str = ""

    @property
    def sha256(self) -> str:
        return self.files[self.path.name]

    @property
    def link(self) -> Link:
        return Link(self.path.name, self.sha256)

    @property
    def bytes(self) -> int:
        return sum((self.path.parent / name).stat().st_size for name in self.files)
