"""A rival, and what it is given to work with; imported in environments that have little more than NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Images: TypeAlias = NDArray[np.float32]  # (N, channels, H, W), normalized
Call: TypeAlias = Callable[[Images], NDArray[Any]]  # from images to logits (N, classes)


@dataclass(frozen=True)
class Given:
    """The files that a rival starts from, all of one FP32 model."""

    onnx: Path  # as PyTorch's exporter has it, for any number of images
    program: Path  # the same from torch.export (.pt2), for one image
    weights: Path  # in our layout (.safetensors)
    calibration: Path  # normalized images (.npy), float32 (N, channels, H, W)
    input_name: str = "image"  # of the ONNX graph

    def images(self) -> Images:
        """Return the calibration images; read as they are used."""
        found: Images = np.load(self.calibration, mmap_mode="r")
        return found

    def to_json(self) -> dict[str, str]:
        """Return the fields as texts."""
        return {name: str(value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, texts: Mapping[str, str]) -> Given:
        """Return what `to_json` wrote."""
        paths = {name: Path(text) for name, text in texts.items() if name != "input_name"}
        return cls(**paths, input_name=texts["input_name"])


@dataclass(frozen=True)
class Step:
    """A function of a recipe, as "nncf:quantize", and its options."""

    function: str  # make: (Given, folder, **options) -> Path; run: (Path, threads, **options) -> Call
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rival:
    """One way to make a model fast, as the users of a library call it."""

    name: str
    command: str  # the call, as its users type it
    source: str  # the page of its documentation
    runtime: str  # that runs what it makes: "openvino", "onnxruntime" or "torch"
    make: Step
    run: Step
    package: str  # the distribution whose version is told
    environment: str | None = None  # the name of its own; None: that of convnext-edge
    runs_there: bool = False  # whether it runs in its environment, and not only makes a file there

    @property
    def label(self) -> str:
        """The name with the runtime."""
        return f"{self.name} in {self.runtime}"

    @property
    def quantizes(self) -> bool:
        """Whether it makes anything of the model; "keep" is how recipes call what runs it as it is."""
        return not self.make.function.endswith(":keep")

    @property
    def call(self) -> str:
        """What makes its file, as a text that is the same for rivals who run the same file."""
        return f"{self.environment} {self.make.function} {dict(self.make.options)}"
