"""ONNX Runtime on CPUs: MatMul in NHWC, INT8 in fused MatMulIntegerToFloat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convnext_edge.artifact import Artifact
from convnext_edge.errors import TargetError
from convnext_edge.recipe import Recipe
from convnext_edge.targets.base import (
    NO_OPTIONS,
    BuildOptions,
    Images,
    Logits,
    Session,
    Target,
    translated,
    words_of,
)

PROVIDERS = ["CPUExecutionProvider"]


class ONNXRuntimeSession(Session):
    """`optimized=False` runs node by node as the file says, for comparison."""

    runner = "ONNX Runtime"

    def __init__(self, model: Path, threads: int | None, *, optimized: bool = True) -> None:
        options = session_options(optimized=optimized)
        if threads is not None:
            options.intra_op_num_threads = threads
        self.session = create(model, options)
        self.input = self.session.get_inputs()[0].name

    def _run(self, images: Images) -> Logits:
        logits: Logits = self.session.run(None, {self.input: images})[0]
        return logits


class ONNXRuntime(Target):
    name = "onnxruntime"
    package = "onnxruntime"
    install = "onnxruntime>=1.31"
    form = "linear"
    recipe = Recipe()
    suffix = ".opt.onnx"

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> None:
        """Saves the graph with the runtime's fusions done, so that it loads faster and is seen."""
        import onnxruntime

        settings = session_options(optimized=True)
        # the level above rearranges weights for the CPU at hand
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        settings.optimized_model_filepath = str(engine)
        if model.with_name(f"{model.name}.data").exists():  # weights over protobuf's 2 GiB
            apart = "session.optimized_model_external_initializers"
            settings.add_session_config_entry(f"{apart}_file_name", f"{engine.name}.data")
            settings.add_session_config_entry(f"{apart}_min_size_in_bytes", "1024")
        try:
            create(model, settings)
        except TargetError as error:
            if engine.exists():  # the graph was accepted, it is the writing that failed
                raise OSError(words_of(error.__cause__ or error)) from error
            raise

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> ONNXRuntimeSession:
        self.version()
        return ONNXRuntimeSession(artifact.path, threads)


def session_options(*, optimized: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def create(model: Path, options: Any) -> Any:
    import onnxruntime

    with translated(f"ONNX Runtime refuses {model}"):
        return onnxruntime.InferenceSession(str(model), options, providers=PROVIDERS)


TARGET = ONNXRuntime()
