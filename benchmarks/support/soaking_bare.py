"""How `soaking` opens sessions of the bare runtimes, as their documentation has it, without our code."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnxruntime
import openvino

from benchmarks.support.soaking import Array, Open


class BareONNXRuntime:
    """A session of ONNX Runtime."""

    def __init__(self, engine: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(engine), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]

    def run(self, images: Array) -> Array:
        return np.asarray(self.session.run(None, {self.input.name: images})[0])

    def close(self) -> None:
        del self.session


class BareOpenVINO:
    """A compiled model of OpenVINO with one request, which takes one call at a time."""

    def __init__(self, engine: Path) -> None:
        options = {
            "INFERENCE_NUM_THREADS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        }
        self.compiled = openvino.Core().compile_model(str(engine), "CPU", options)
        self.request = self.compiled.create_infer_request()
        self.turn = threading.Lock()

    def run(self, images: Array) -> Array:
        with self.turn:
            return np.array(self.request.infer({0: images})[self.compiled.output(0)])

    def close(self) -> None:
        del self.request, self.compiled


def opener(engine: Path) -> tuple[Open, tuple[int, int, int]]:
    """Return what opens a session with one thread, and the shape of an image."""
    if engine.suffix == ".xml":
        _, channels, rows, columns = BareOpenVINO(engine).compiled.input(0).partial_shape
        return lambda: BareOpenVINO(engine), (len(channels), len(rows), len(columns))
    _, *shape = BareONNXRuntime(engine).input.shape
    return lambda: BareONNXRuntime(engine), tuple(shape)
