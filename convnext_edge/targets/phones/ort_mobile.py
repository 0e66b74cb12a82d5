"""ONNX Runtime on phones: the runtime's own format, for its full packages and for builds with few operators.

An engine X.ort comes with X.required_operators_and_types.config, which a reduced build of ONNX Runtime
takes (`--include_ops_by_config`, https://onnxruntime.ai/docs/build/custom.html). It holds the fusions for
the CPU provider, which is what runs INT8 well: NNAPI and Core ML take a Q/DQ graph only in pieces, and each
piece costs a copy. How many, ONNX Runtime's usability check tells of each model.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quiet import importing, quiet
from convnext_edge.targets.base import NO_OPTIONS, BuildOptions, Target
from convnext_edge.targets.onnxruntime import TARGET as ONNXRUNTIME
from convnext_edge.targets.onnxruntime import ONNXRuntimeSession
from convnext_edge.targets.vendor_errors import as_target_error

CONFIG = "required_operators_and_types.config"
UNVERIFIED = "unverified on a device: `validate` runs it in ONNX Runtime on this machine's CPU"
COREML_TABLES = {
    "Core ML NeuralNetwork": "coreml_supported_neuralnetwork_ops.md",
    "Core ML MLProgram": "coreml_supported_mlprogram_ops.md",
}


@dataclass(frozen=True)
class Usability:
    """The part of a graph with fixed shapes that another provider than the CPU's would run."""

    worthwhile: str  # ONNX Runtime's verdict: "yes", "maybe" or "no"
    nodes: int  # how many nodes the provider takes
    of: int  # how many nodes there are
    pieces: int  # parts that the taken nodes make up, with a copy in and out of each

    def __str__(self) -> str:
        return f"{self.worthwhile} (takes {self.nodes} of {self.of} nodes, in {self.pieces} pieces)"


class ORTMobile(Target):
    """ONNX Runtime on phones, with the provider for CPUs."""

    name = "ort-mobile"
    package = "onnxruntime"
    install = "onnxruntime>=1.31"
    form = "linear"  # what is for phones' accelerators as well has few kinds of operators
    int8_forms = ONNXRUNTIME.int8_forms
    runs_on = "aarch64"
    # ARM adds up in 32 bits, but weights that cannot saturate make what was validated here hold there too
    recipe = Recipe()
    suffix = ".ort"
    for_other_machines = True

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> dict[str, Any]:
        self.version()
        with temporary_folder() as folder:
            fused = folder / "fused.onnx"
            ONNXRUNTIME.build(model, fused)
            write_ort(fused, folder)
            (converted,) = folder.glob("*.ort")
            shutil.copyfile(converted, engine)
            config = converted.with_suffix(f".{CONFIG}").read_text(encoding="utf-8")
        operators = [line for line in config.splitlines() if not line.startswith("#")]  # of local paths
        text = "\n".join([f"# required by {engine.name}", *operators, ""])
        engine.with_suffix(f".{CONFIG}").write_text(text, encoding="utf-8", newline="\n")
        found = check_usability(model)
        return {
            "usability": {provider: asdict(usability) for provider, usability in found.items()},
            "notes": [advice(found), UNVERIFIED],
        }

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> ONNXRuntimeSession:
        self.version()
        return ONNXRuntimeSession(artifact.path, threads)


def write_ort(model: Path, folder: Path) -> None:
    """Write the engine and its configuration into `folder`, under the name of `model`."""
    with importing("onnxruntime"):
        from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    with quiet(), as_target_error(f"ONNX Runtime refuses {model}"):
        convert_onnx_models_to_ort(
            model,
            folder,
            # with "Runtime" in place of "Fixed", fusions would wait for the device, as NNAPI wants it
            optimization_styles=[OptimizationStyle.Fixed],
            target_platform="arm",
            enable_type_reduction=True,
        )


def check_usability(model: Path) -> dict[str, Usability]:
    """Return ONNX Runtime's own judgement of a graph, by provider for a phone's accelerators."""
    with importing("onnxruntime"):
        from onnxruntime.tools.mobile_helpers import usability_checker as checker
        from onnxruntime.tools.onnx_model_utils import ModelProtoWithShapeInfo, optimize_model

    with quiet(), temporary_folder() as folder:
        basic = folder / "basic.onnx"
        optimize_model(model, basic, use_external_initializers=True)
        graph = ModelProtoWithShapeInfo(basic).model_with_shape_info
        found = {"NNAPI": checker.check_nnapi_partitions(graph, require_fixed_input_sizes=False)}
        for provider, table in COREML_TABLES.items():
            found[provider] = checker.check_coreml_partitions(graph, False, table)
    return {provider: usability(partitions) for provider, partitions in found.items()}


def usability(partitions: Any) -> Usability:
    """Return what ONNX Runtime found as values of ours."""
    return Usability(
        worthwhile=partitions.suitability().name.lower(),
        nodes=partitions.num_supported_nodes,
        of=partitions.num_nodes,
        pieces=partitions.num_partitions,
    )


def advice(found: dict[str, Usability]) -> str:
    """Return the sentence that tells a user which provider to run the engine on."""
    worthwhile = [provider for provider, usability in found.items() if usability.worthwhile != "no"]
    choice = f"try {' and '.join(worthwhile)}" if worthwhile else "run it on the CPU provider"
    verdicts = "; ".join(f"{provider} {usability}" for provider, usability in found.items())
    return f"{choice}: ONNX Runtime's usability check finds {verdicts}"


TARGET = ORTMobile()
