"""Core ML on Apple's devices: an ML program in FP16, its products with INT8 inputs and weights.

Form "conv", as Apple advises for the Neural Engine: (N, C, H, W), products as 1x1 convolutions.
https://machinelearning.apple.com/research/neural-engine-transformers

Symmetric INT8 is what Core ML Tools themselves make of activations, and INT8 products are computed as such on
the Neural Engine from iPhone 15 Pro on; older devices compute them in FP16, with smaller files.
https://apple.github.io/coremltools/docs-guides/source/opt-quantization-api.html

Core ML runs on Apple's systems only. Elsewhere a package is built and its graph simulated in PyTorch.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from onnx import ModelProto, TensorProto

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import find_link
from convnext_edge.network.exporter import exporter
from convnext_edge.onnx_graph.files import load
from convnext_edge.onnx_graph.naming import INPUT
from convnext_edge.progress import note
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quiet import quiet, quiet_below
from convnext_edge.targets.base import (
    NO_OPTIONS,
    Availability,
    BuildOptions,
    Images,
    Outputs,
    Session,
    Target,
)
from convnext_edge.targets.phones.decomposed import to_program
from convnext_edge.targets.simulation.graph import to_torch
from convnext_edge.targets.torch import TorchSession
from convnext_edge.targets.vendor_errors import as_target_error

APPLE = sys.platform == "darwin"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP file can tell
DEBUGGING = "executorch_debug_handle_mapping.json"  # of no use outside ExecuTorch
UNVERIFIED = (
    "unverified on a device: the package was converted and not run; `validate` simulates its graph in"
    " PyTorch, in FP32 where the package has FP16"
)


class CoreMLSession(Session):
    """A package in Core ML on a Mac, one image a call; nobody has run it so far."""

    runner = "Core ML"

    def __init__(self, engine: Path) -> None:
        import coremltools

        self.unpacked = ExitStack()
        folder = self.unpacked.enter_context(temporary_folder())
        with ZipFile(engine) as archive:
            archive.extractall(folder)
        (package,) = folder.glob("*.mlpackage")
        self.model = coremltools.models.MLModel(str(package))

    def _run(self, images: Images) -> Outputs:
        calls = [self.model.predict({INPUT: self._value(image)}) for image in images]
        return tuple(np.concatenate([call[name] for call in calls]) for name in calls[0])

    @staticmethod
    def _value(image: Images) -> Any:
        """Return raw bytes as a picture, which is what such a package takes."""
        if image.dtype != np.uint8:
            return image[None]
        from PIL import Image

        return Image.fromarray(image.transpose(1, 2, 0))

    def close(self) -> None:
        self.unpacked.close()


class CoreMLSimulation(TorchSession):
    """The graph of a Core ML package, simulated in PyTorch."""

    simulated = True
    label = "simulated: Core ML runs on Apple's systems only"


class CoreML(Target):
    """Core ML, which runs on Apple's systems only; it builds everywhere."""

    name = "coreml"
    package = "coremltools"
    install = "convnext-edge[coreml]"
    form = "conv"
    recipe = Recipe(activation="int8", weight_scale="full")
    suffix = ".mlpackage.zip"

    def availability(self) -> Availability:
        found = super().availability()
        if not found.can_build or APPLE:
            return found
        return Availability(True, False, found.version, "builds here; runs on Apple's systems only")

    def engine_precision(self, precision: str, options: BuildOptions) -> str:
        return "fp16" if precision == "fp32" else precision

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> dict[str, Any]:
        """Convert the graph to an ML program, and pack the folder that it is into one file."""
        self.version()
        graph = load(model)
        with temporary_folder() as folder:
            package = folder / engine.name.removesuffix(".zip")
            with exporter(), quiet_below(), as_target_error(f"Core ML Tools refuse {model}"):
                operators = write_package(graph, package)
            (package / DEBUGGING).unlink(missing_ok=True)
            pack(package, engine)
        return {
            "operators": operators,
            "notes": [operators_note(operators), "unzip it for Xcode", UNVERIFIED],
        }

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> Session:
        """Open an engine on a Mac; elsewhere its graph in PyTorch. On a Mac, `threads` has no effect."""
        self.version()
        graph = artifact
        if artifact.description.kind == "engine":
            if APPLE:
                return CoreMLSession(artifact.path)
            assert artifact.description.parent is not None  # every engine has one
            graph = find_link(artifact.description.parent, (artifact.path.parent,), wanted_by=artifact.path)
        note(f"{CoreMLSimulation.label}: its graph in PyTorch")
        with quiet():
            return CoreMLSimulation(to_torch(graph.path), threads)


def write_package(graph: ModelProto, package: Path) -> dict[str, int]:
    """Write an ML program; return its operators and how many there are of each."""
    import coremltools

    declared = graph.graph.input[0]
    kind = declared.type.tensor_type
    shape = (1, *(dim.dim_value for dim in kind.shape.dim[1:]))
    if kind.elem_type == TensorProto.UINT8:
        kind.elem_type = TensorProto.FLOAT  # tensors of bytes Core ML lacks, but it has pictures
        image = coremltools.ImageType(
            name=declared.name, shape=shape, color_layout=coremltools.colorlayout.RGB
        )
    else:
        image = coremltools.TensorType(name=declared.name, shape=shape, dtype=np.float32)
    program = to_program(graph).run_decompositions({})
    made = coremltools.convert(
        program,
        inputs=[image],
        outputs=[coremltools.TensorType(name=output.name, dtype=np.float32) for output in graph.graph.output],
        minimum_deployment_target=coremltools.target.iOS17,  # the first with INT8 activations
        skip_model_load=True,
    )
    made.save(str(package))
    return dict(Counter(op.op_type for op in made._mil_program.functions["main"].operations))


def pack(package: Path, archive: Path) -> None:
    """Pack the folder into one file, the same bytes each time but for what Core ML Tools write into it."""
    with ZipFile(archive, "w") as packed:
        for file in sorted(package.rglob("*")):
            if file.is_file():
                packed.writestr(
                    ZipInfo(file.relative_to(package.parent).as_posix(), EPOCH), file.read_bytes()
                )


def operators_note(operators: dict[str, int]) -> str:
    """Return the sentence that tells a user how much of the program is in INT8."""
    int8 = operators.get("constexpr_affine_dequantize", 0)
    return f"an ML program for iOS 17 and macOS 14, {int8} of its {operators['conv']} convolutions in INT8"


TARGET = CoreML()
