"""A small model, and what the commands make of it, each made once a process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from support.places import TESTS

if TYPE_CHECKING:
    from convnext_edge.commands.quantize.methods import Method
    from convnext_edge.cpu import Machine
    from convnext_edge.images.preprocessing import InputType

# Architecture((1, 1, 2, 1), (16, 24, 32, 48), patch 4, 10 classes), as timm wrote it
CHECKPOINT = TESTS / "fixtures" / "checkpoints" / "timm_v1.safetensors"
CHECKPOINT_V2 = CHECKPOINT.with_name("timm_v2.safetensors")  # the same with GRN
RESOLUTION = 64
CLASSES = 10


class Models:
    """Artifacts of the small model in one workspace. Tests take them as they are and change none."""

    def __init__(self, workspace: Path, photos: Path) -> None:
        self.workspace = workspace
        self.photos = photos
        self._made: dict[tuple[str, ...], Path] = {}

    def exported(self, input_type: InputType = "float32", checkpoint: Path = CHECKPOINT) -> Path:
        """The FP32 ONNX file."""
        return self._once(self._export, input_type, str(checkpoint))

    def copy_exported(self, folder: Path) -> None:
        """Put the FP32 ONNX file and its weights into another folder, with their sidecars."""
        from convnext_edge.artifacts.store import open_artifact

        weights = open_artifact(self.exported()).description.weights
        assert weights is not None
        for name in (self.exported().name, weights.name):
            shutil.copy(self.workspace / name, folder)
            shutil.copy(self.workspace / f"{name}.json", folder)

    def quantized(
        self,
        target: str = "openvino",
        method: Method = "ptq",
        input_type: InputType = "float32",
        checkpoint: Path = CHECKPOINT,
        machine: Machine = "x86-64",
    ) -> Path:
        """The INT8 ONNX file, calibrated with 16 of the photographs."""
        return self._once(self._quantize, target, method, input_type, str(checkpoint), machine)

    def engine(self, target: str, model: Path) -> Path:
        return self._once(self._build, target, str(model))

    def _once(self, make: Callable[..., Path], *options: str) -> Path:
        key = (make.__name__, *options)
        if key not in self._made:
            self._made[key] = make(*options)
        return self._made[key]

    def _export(self, input_type: InputType, checkpoint: str) -> Path:
        from convnext_edge import export

        return export(
            checkpoint=Path(checkpoint),
            resolution=RESOLUTION,
            input_type=input_type,
            workspace=self.workspace,
        ).artifact

    def _quantize(
        self, target: str, method: Method, input_type: InputType, checkpoint: str, machine: Machine
    ) -> Path:
        from convnext_edge import quantize
        from convnext_edge.targets.registry import find_target

        return quantize(
            self.exported(input_type, Path(checkpoint)),
            calib=str(self.photos),
            samples=16,
            target=target,
            method=method,
            machine=machine if find_target(target).takes_machine else None,
            timing=False,
            workspace=self.workspace,
        ).artifact

    def _build(self, target: str, model: str) -> Path:
        from convnext_edge import build

        output = self.workspace / f"{Path(model).stem}-on-{target}{SUFFIXES[target]}"
        return build(Path(model), target=target, output=output, workspace=self.workspace).engine


SUFFIXES = {
    "torch": ".pt2",
    "onnxruntime": ".opt.onnx",
    "ort-mobile": ".ort",
    "openvino": ".xml",
    "executorch": ".pte",
    "coreml": ".mlpackage.zip",
    "litert": ".tflite",
}
