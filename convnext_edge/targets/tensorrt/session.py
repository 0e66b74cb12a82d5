"""Running an engine on a GPU, and its graph without one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.closing import Closing
from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.files import save
from convnext_edge.onnx_graph.naming import INPUT
from convnext_edge.targets.base import Images, Outputs, Session
from convnext_edge.targets.onnxruntime import ONNXRuntimeSession
from convnext_edge.targets.tensorrt.builder import Log
from convnext_edge.targets.tensorrt.cuda import cuda_torch

SIMULATION, NO_GPU_HERE = "the simulation", "simulated: no GPU here"


class Engine(Closing):
    """An engine on the GPU, of several inputs and outputs.

    PyTorch's tensors are its memory; a call includes the copies there and back.
    """

    def __init__(self, module: Any, plan: bytes, inputs: Sequence[str] = (INPUT,)) -> None:
        self.torch = cuda_torch()
        self.log = Log(module)
        self.runtime = module.Runtime(self.log.logger)
        check_validity(module, self.runtime, plan)
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context = self.engine and self.engine.create_execution_context()
        if self.context is None:  # where either fails, TensorRT says why in its log alone
            raise TargetError(
                f"{module.__name__} {module.__version__} does not load the engine: {self.log.reason()}",
                hint="Build it again on this machine: convnext-edge build",
            )
        self.inspector_format = module.LayerInformationFormat.JSON
        self.stream = self.torch.cuda.Stream()
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        self.outputs = [name for name in names if name not in inputs]

    def run(self, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Return all outputs by name, for all inputs."""
        torch = self.torch
        with torch.cuda.stream(self.stream):
            held = {}  # until the stream has read it
            for name, value in values.items():
                x = held[name] = torch.from_numpy(np.ascontiguousarray(value)).to(
                    "cuda"
                )  # TensorRT sees no strides
                if not self.context.set_input_shape(name, tuple(x.shape)):
                    raise RuntimeError(self.log.reason())
                self.context.set_tensor_address(name, x.data_ptr())
            outputs = {}
            for name in self.outputs:
                shape = tuple(self.context.get_tensor_shape(name))
                outputs[name] = torch.empty(shape, dtype=torch.float32, device="cuda")
                self.context.set_tensor_address(name, outputs[name].data_ptr())
            if not self.context.execute_async_v3(self.stream.cuda_stream):
                raise RuntimeError(self.log.reason())
            return {name: output.cpu().numpy() for name, output in outputs.items()}  # waits for the stream

    def layers(self) -> list[Any]:
        """Return what TensorRT made of the graph: name, type and precision of each layer."""
        information = self.engine.create_engine_inspector().get_engine_information(self.inspector_format)
        layers: list[Any] = json.loads(information)["Layers"]
        return layers

    def close(self) -> None:
        del self.context, self.engine, self.runtime


class TensorRTSession(Session):
    """An engine on the GPU that takes images."""

    runner = "TensorRT"

    def __init__(self, module: Any, plan: bytes, max_batch: int) -> None:
        self.engine, self.max_batch = Engine(module, plan), max_batch

    def _run(self, images: Images) -> Outputs:
        """Run images in as many calls as the engine's largest batch asks for."""
        starts = range(0, len(images), self.max_batch)
        calls = [self.engine.run({INPUT: images[start : start + self.max_batch]}) for start in starts]
        return tuple(np.concatenate([call[name] for call in calls]) for name in self.engine.outputs)

    def layers(self) -> list[Any]:
        """Return what TensorRT made of the graph."""
        return self.engine.layers()

    def close(self) -> None:
        self.engine.close()


def check_validity(module: Any, runtime: Any, plan: bytes) -> None:
    """Raise TargetError where TensorRT-RTX finds the engine unfit; TensorRT has no such question."""
    if not hasattr(runtime, "get_engine_validity"):
        return
    validity, diagnostics = runtime.get_engine_validity(plan)
    if validity == module.EngineValidity.INVALID:
        known = module.EngineInvalidityDiagnostics.__members__.items()
        causes = [name.lower().replace("_", " ") for name, member in known if int(member) & int(diagnostics)]
        raise TargetError(
            f"the engine does not run here: {', '.join(causes) or 'TensorRT-RTX gives no cause'}",
            hint="Build it again for this version and GPU: convnext-edge build --target tensorrt-rtx",
        )


class SimulatedEngine(Closing):
    """The graph of an engine in ONNX Runtime, node by node, with FP16 rounding after each."""

    def __init__(self, graph: ModelProto, threads: int | None) -> None:
        with temporary_folder() as folder:
            path = folder / "model.onnx"
            save(graph, path)
            self.session = ONNXRuntimeSession(path, threads, optimized=False).session
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(self, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return all outputs by name, for all inputs."""
        return dict(zip(self.outputs, self.session.run(None, dict(values)), strict=True))


class TensorRTSimulation(Session):
    """An engine that takes images, simulated."""

    runner = SIMULATION
    simulated = True
    label = NO_GPU_HERE

    def __init__(self, graph: ModelProto, threads: int | None) -> None:
        self.engine = SimulatedEngine(graph, threads)

    def _run(self, images: Images) -> Outputs:
        return tuple(self.engine.run({INPUT: images}).values())
