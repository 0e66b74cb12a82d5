"""OpenVINO on CPUs: convolutions in NCHW, INT8 in the runtime's 1x1 kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convnext_edge.artifact import Artifact
from convnext_edge.errors import TargetError
from convnext_edge.recipe import Recipe
from convnext_edge.targets.base import NO_OPTIONS, BuildOptions, Images, Logits, Session, Target


class OpenVINOSession(Session):
    def __init__(self, model: Path, threads: int | None, *, timed: bool = False) -> None:
        import openvino

        # f32: an engine must not fall to bfloat16 by itself where a CPU offers it
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if timed:
            options["PERF_COUNT"] = True
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            self.compiled = core.compile_model(core.read_model(model), "CPU", options)
        except RuntimeError as error:
            raise refusal(model, error) from error
        self.request = self.compiled.create_infer_request()

    def run(self, images: Images) -> Logits:
        logits: Logits = np.array(self.request.infer({0: images})[self.compiled.output(0)], dtype=np.float32)
        return logits

    def layer_times(self) -> dict[str, float]:
        """Mean milliseconds of each node over all calls, by the name of the ONNX node it was made of."""
        found: dict[str, float] = {}
        for node in self.request.profiling_info:
            name = node.node_name.split("/")[0]  # the plugin adds "/WithoutBiases" to convolutions
            found[name] = found.get(name, 0.0) + node.real_time.total_seconds() * 1000
        return found

    def kernels(self) -> list[tuple[str, str]]:
        """(layer type, primitive) of each node that the CPU plugin executes, as `jit_avx2_1x1_I8`."""
        nodes = self.compiled.get_runtime_model().get_ops()
        info = [node.get_rt_info() for node in nodes]
        return [(str(i["layerType"].value), str(i["primitiveType"].value)) for i in info if "layerType" in i]


class OpenVINO(Target):
    name = "openvino"
    package = "openvino"
    install = "openvino>=2026.4"
    form = "conv"
    recipe = Recipe()
    suffix = ".xml"

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> None:
        import openvino

        try:
            converted = openvino.convert_model(model)
        except RuntimeError as error:
            raise refusal(model, error) from error
        try:
            # FP16 weights would save space but not time on a CPU, and change the answers
            openvino.save_model(converted, engine, compress_to_fp16=False)
        except RuntimeError as error:  # a full disk
            raise OSError(last_line(error)) from error

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> OpenVINOSession:
        self.version()
        return OpenVINOSession(artifact.path, threads)

    def time_layers(self, model: Path, images: Images, *, runs: int, threads: int) -> dict[str, float]:
        self.version()
        with OpenVINOSession(model, threads, timed=True) as session:
            for _ in range(runs):
                session.run(images)
            return session.layer_times()


def refusal(model: Path, error: Exception) -> TargetError:
    return TargetError(
        f"OpenVINO refuses {model}: {last_line(error)}", hint="Run with -v for its whole message."
    )


def last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


TARGET = OpenVINO()
