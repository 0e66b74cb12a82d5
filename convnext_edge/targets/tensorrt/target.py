"""TensorRT and TensorRT-RTX on NVIDIA GPUs: two products behind one Python API.

`tensorrt` builds for the GPU at hand and needs it to build. `tensorrt_rtx` builds ahead of time on any
x86 machine, for several generations of GPUs at once, and compiles the kernels where the engine runs.

Every network is strongly typed: TensorRT 11 knows nothing else, and 10 obeys it. Precision is in the
graph alone, INT8 as Q/DQ nodes and FP16 as the types of the values (`onnx_graph/half.py`).
https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x-python-api-reference.html

Form "linear", (N, H, W, C) with MatMul, for these reasons:

* LayerNorm is then one LayerNormalization node, as NVIDIA advises its users to write it
  (https://github.com/NVIDIA/TensorRT/issues/2781). Spelled out as in form "conv" it is a chain of reductions
  and element-wise steps, in which the gain of INT8 was lost: https://github.com/NVIDIA/TensorRT/issues/3015,
  and behind ConvNeXt's own convolutions https://github.com/NVIDIA/Model-Optimizer/issues/80. The operator
  normalizes the last axis, where only this layout has the channels.
* A MatMul is no slower path than a 1x1 convolution: TensorRT turns an explicitly quantized one into a
  convolution by itself (https://github.com/NVIDIA/TensorRT/issues/3266). TensorRT-RTX 1.7 makes a product
  of INT8 by INT8 of either, whose result is FP16 in this form and FP32 in form "conv", as the list of
  layers in its log shows (`Log.layers`).

Placement: Q/DQ at the inputs of the weighted operators and nowhere else, as NVIDIA recommends ("Quantize all
inputs of weighted-operations", "By default, do not quantize the outputs of weighted-operations"):
https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/quantized-types-explicit-quantization.html
Nothing stands between MatMul, bias and GELU, so that they can fuse up to the Q of the next layer, and Q
follows LayerNorm directly, so that its output can be written in INT8. In TensorRT-RTX 1.7 both happen: bias,
GELU and Q are one kernel, LayerNorm and Q another. Residual sums stay FP16, against
NVIDIA's advice for ResNets: all blocks of a stage add to one value, and so would their rounding. Depthwise
convolutions stay FP16: they are bound by memory, and INT8 costs 3 dB there. ModelOpt also puts Q/DQ between
a convolution and the LayerNorm behind it, after reports that ConvNeXt got slower
(https://github.com/NVIDIA/Model-Optimizer/issues/14, https://github.com/NVIDIA/Model-Optimizer/pull/1117);
that serves depthwise convolutions which are INT8 themselves, for which `depthwise = true` in a recipe asks.

No GPU has confirmed this yet. Users report INT8 no faster than FP16 on ConvNeXt, with other placements
(https://github.com/NVIDIA/TensorRT/issues/4180), and TensorRT-RTX is documented for INT8 weights alone
("INT8 WoQ GEMM"), and on Turing not even for those, so that INT8 there may save memory and no time:
https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/getting-started/support-matrix-1/1.5.html
`benchmark` therefore holds INT8 against FP16.
"""

from __future__ import annotations

from importlib import import_module, util
from pathlib import Path
from typing import Any, ClassVar

import onnx

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import find_link
from convnext_edge.errors import ArtifactError, TargetError
from convnext_edge.progress import note
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.targets.base import NO_OPTIONS, Availability, BuildOptions, Session, Target
from convnext_edge.targets.tensorrt.between import explained
from convnext_edge.targets.tensorrt.builder import build_plan, is_covered
from convnext_edge.targets.tensorrt.cuda import Gpu, NoGpu, find_gpu
from convnext_edge.targets.tensorrt.parts import Part, heads_file, read_parts
from convnext_edge.targets.tensorrt.script import SCRIPT, Script
from convnext_edge.targets.tensorrt.session import (
    NO_GPU_HERE,
    TensorRTSession,
    TensorRTSimulation,
)
from convnext_edge.targets.vendor_errors import as_target_error

MAX_BATCH = 8
OF_DETECTORS = (
    "Two engines: the dense part, and the heads in a file beside it. What lies between them (proposals,"
    " RoIAlign, the choice of boxes) is computed on the CPU."
)
# What TensorRT-RTX builds for by itself: "8.0, 8.6, 8.9, 12.0, and later"
# https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/cpu-engines.html
ANY_AMPERE = "8.0+"


class TensorRT(Target):
    """TensorRT, which builds on the GPU that will run the engine."""

    name = "tensorrt"
    package = "tensorrt"
    install = "convnext-edge[tensorrt]"
    needs_gpu: ClassVar[bool] = True  # to build, as well as to run
    options = frozenset({"precision", "max_batch", "timing_cache"})
    form = "linear"
    # symmetric, since TensorRT has no zero points; all codes, since tensor cores add up in 32 bits
    recipe = Recipe(activation="int8", weight_scale="full", convolutions=True)
    activations = frozenset({"int8"})
    suffix = ".engine"
    rivals_fp16 = True
    takes_detectors = True
    takes_machine = False

    # --- what is here ----------------------------------------------------------------------------

    def module(self) -> Any:
        """Return the vendor's package; raise TargetError where it is missing or its libraries do not load."""
        try:
            return import_module(self.package)
        except ModuleNotFoundError:
            raise TargetError(
                f"target {self.name} needs the package {self.package}, which is not installed",
                hint=f"pip install '{self.install}'",
            ) from None
        except (ImportError, OSError) as error:
            raise TargetError(
                f"the package {self.package} does not load: {error}", hint=f"pip install '{self.install}'"
            ) from error

    def version(self) -> str:
        """Return the version of the module: on Jetson the package comes without Python's metadata."""
        return str(self.module().__version__)

    def availability(self) -> Availability:
        gpu, remedies = find_gpu(), []
        missing = util.find_spec(self.package) is None
        if missing:
            remedies.append(f"pip install '{self.install}'")
        if isinstance(gpu, NoGpu):
            does = "builds and runs" if self.needs_gpu else "runs"
            remedies.append(f"it {does} on NVIDIA GPUs only, and {gpu.reason}")
        builds = not missing and (isinstance(gpu, Gpu) or not self.needs_gpu)
        version = None if missing else self.version()
        return Availability(builds, not remedies, version, "; ".join(remedies))

    def _gpu(self) -> Gpu:
        """Return the GPU to build with; raise TargetError where there is none."""
        gpu = find_gpu()
        if isinstance(gpu, NoGpu):
            raise TargetError(
                f"target {self.name} builds on the GPU that will run the engine, and {gpu.reason}",
                hint="Build on that device; take a folder there with --emit-script; or build for RTX GPUs on"
                " any machine with --target tensorrt-rtx.",
            )
        return gpu

    # --- building --------------------------------------------------------------------------------

    def engine_precision(self, precision: str, options: BuildOptions) -> str:
        return (options.precision or precision) if precision == "fp32" else precision

    def record(self, options: BuildOptions) -> dict[str, Any]:
        capabilities = (self._gpu().compute_capability,) if self.needs_gpu else options.compute_capabilities
        return {
            **super().record(options),
            "compute_capabilities": list(capabilities or (ANY_AMPERE,)),
            "max_batch": options.max_batch or MAX_BATCH,
            "float_precision": options.precision,
        }

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> dict[str, Any] | None:
        """Build an engine; of a detector two, the second beside the first."""
        module = self.module()
        if self.needs_gpu:
            self._gpu()
        parts = self.parts(model, options.precision, options.max_batch or MAX_BATCH)
        files = (engine, heads_file(engine))[: len(parts)]
        for part, file in zip(parts, files, strict=True):
            with as_target_error(f"{self.package} builds no engine of {model}"):
                plan = build_plan(module, part, options)
            file.write_bytes(plan)  # not inside: a full disk is no fault of the runtime
        if len(parts) == 1:
            return None
        return {
            "parts": {part.name: file.name for part, file in zip(parts, files, strict=True)},
            "notes": [OF_DETECTORS],
        }

    def parts(self, model: Path, precision: str | None, max_batch: int = MAX_BATCH) -> tuple[Part, ...]:
        """Return what engines are built of, as `read_parts` does."""
        return read_parts(model, precision, max_batch, target=self.name)

    def graph(self, model: Path, precision: str | None) -> onnx.ModelProto:
        """Return the graph that the engine of a model is built of, as of `parts`; a detector has two."""
        (part,) = self.parts(model, precision)
        return part.graph

    def write_script(self, graph: Artifact, folder: Path, options: BuildOptions) -> str:
        """Write a folder for `trtexec`, which comes with TensorRT and not with TensorRT-RTX."""
        if not self.needs_gpu:
            return super().write_script(graph, folder, options)
        described = graph.description
        script = Script(
            title=described.stem,
            precision=self.engine_precision(described.precision, options),
            parts=self.parts(graph.path, options.precision, options.max_batch or MAX_BATCH),
            between=explained(described.architecture) if described.task == "detect" else "",
        )
        script.write(folder)
        return f"./{SCRIPT}"

    # --- running ---------------------------------------------------------------------------------

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> Session:
        """Open an engine on the GPU; without a GPU, the same graph in ONNX Runtime, unoptimized.

        For an ONNX file, an engine is built first. `threads` has no effect on a GPU.
        """
        gpu = find_gpu()
        if isinstance(gpu, NoGpu):
            return self._simulate(artifact, gpu, threads)
        if artifact.description.kind == "engine":
            self.check_engine(artifact, gpu)
            return self._session(
                artifact, artifact.path, self._recorded(artifact).get("max_batch", MAX_BATCH)
            )
        with temporary_folder() as folder:
            engine = folder / f"model{self.suffix}"
            self.build(artifact.path, engine)
            return self._session(artifact, engine, MAX_BATCH)

    def _session(self, artifact: Artifact, engine: Path, max_batch: int) -> Session:
        module, plan = self.module(), engine.read_bytes()
        if artifact.description.task != "detect":
            return TensorRTSession(module, plan, max_batch)
        from convnext_edge.targets.tensorrt.detector import open_engines

        heads = heads_file(engine).read_bytes()
        return open_engines(artifact.description.architecture, module, (plan, heads), max_batch)

    def check_engine(self, artifact: Artifact, gpu: Gpu) -> None:
        """Raise TargetError for an engine of another version or for other GPUs."""
        recorded, version = self._recorded(artifact), self.version()
        again = f"Build it again: convnext-edge build --target {self.name}"
        if recorded.get("version") != version:
            raise TargetError(
                f"{artifact.path} was built with {self.package} {recorded.get('version')}, here is {version}:"
                " engines run on their own version only",
                hint=f"{again}, or install {recorded.get('version')}.",
            )
        capabilities = recorded.get("compute_capabilities", [])
        if not is_covered(gpu.compute_capability, capabilities):
            raise TargetError(
                f"{artifact.path} was built for compute capability {', '.join(capabilities)},"
                f" {gpu.name} has {gpu.compute_capability}",
                hint=again if self.needs_gpu else f"{again} --compute-capability {gpu.compute_capability}",
            )

    def _simulate(self, artifact: Artifact, gpu: NoGpu, threads: int | None) -> Session:
        model, precision = artifact.path, None
        if artifact.description.kind == "engine":
            parent = artifact.description.parent
            if parent is None:  # every engine that we write has one
                raise ArtifactError(f"the sidecar of {artifact.path} names no parent", hint="Build it again.")
            precision = self._recorded(artifact).get("float_precision")
            model = find_link(parent, (artifact.path.parent,), wanted_by=artifact.path).path
        note(f"{NO_GPU_HERE} ({gpu.reason}): the same graph in ONNX Runtime, unoptimized")
        if artifact.description.task != "detect":
            return TensorRTSimulation(self.graph(model, precision), threads)
        from convnext_edge.targets.tensorrt.detector import simulate

        return simulate(artifact.description.architecture, self.parts(model, precision), threads)

    @staticmethod
    def _recorded(artifact: Artifact) -> dict[str, Any]:
        return artifact.description.engine or {}


class TensorRTForRTX(TensorRT):
    """TensorRT for RTX, which builds on any machine for several generations of GPUs."""

    name = "tensorrt-rtx"
    package = "tensorrt_rtx"
    install = "convnext-edge[tensorrt-rtx]"
    needs_gpu = False
    # no timing cache: it would make the build ask for a GPU, and has no effect on the engine
    # https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/timing-cache-migration.html
    options = frozenset({"precision", "max_batch", "compute_capabilities"})


TENSORRT = TensorRT()
TENSORRT_RTX = TensorRTForRTX()
