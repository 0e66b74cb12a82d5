"""PyTorch: the FP32 reference, and any of our ONNX files simulated in its float arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path

import torch
from torch import nn

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.checkpoints.loading import load_weights
from convnext_edge.cpu import usable_cpus
from convnext_edge.errors import TargetError
from convnext_edge.network.convnext import as_tuple
from convnext_edge.network.exporter import exporter, running
from convnext_edge.network.threads import operator_threads
from convnext_edge.quantization.recipe import ACTIVATION_BITS, Recipe
from convnext_edge.targets.base import NO_OPTIONS, BuildOptions, Images, Outputs, Session, Target
from convnext_edge.targets.simulation.graph import to_torch
from convnext_edge.targets.streams import ThreadedStreams
from convnext_edge.targets.vendor_errors import as_target_error


class TorchSession(Session):
    """A module of PyTorch's, ready to run.

    The number of threads is set for each run, in the thread that calls.
    """

    runner = "PyTorch"

    def __init__(self, module: nn.Module, threads: int | None = None) -> None:
        self.module = module
        self.threads = threads or min(torch.get_num_threads(), usable_cpus())

    def _run(self, images: Images) -> Outputs:
        with running(), operator_threads(self.threads), torch.inference_mode():
            found = self.module(torch.from_numpy(images))
        return tuple(output.numpy() for output in as_tuple(found))


class TorchStreams(ThreadedStreams):
    """A module of PyTorch's that runs several requests at a time, on `threads` threads in all."""

    def __init__(self, module: nn.Module, streams: int, threads: int) -> None:
        each = max(threads // streams, 1)
        super().__init__([TorchSession(module, each) for _ in range(streams)], each)

    def working(self) -> AbstractContextManager[object]:
        """Return what sets the number of threads of operators for all requests of a thread."""
        return operator_threads(self.threads)


class Torch(Target):
    """PyTorch, which runs our graphs in float arithmetic."""

    name = "torch"
    package = "torch"
    install = "torch>=2.13"
    form = "linear"  # Q/DQ has a place in the lowered forms only
    recipe = Recipe()
    takes_segmenters = True
    suffix = ".pt2"
    has_int8_kernels = False
    takes_machine = False
    takes_streams = True
    activations = frozenset(ACTIVATION_BITS)

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> None:
        """Save the graph as an exported program, which torch.export.load reads back."""
        with exporter(), as_target_error(f"PyTorch refuses {model}"):
            module = to_torch(model)
            image = next(iter(module.graph.find_nodes(op="placeholder"))).meta["val"]
            example = torch.zeros((2, *image.shape[1:]), dtype=image.dtype)
            program = torch.export.export(
                module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)
            )
        # by way of memory: on a full disk, PyTorch's own writer aborts the process
        buffer = BytesIO()
        torch.export.save(program, buffer)
        engine.write_bytes(buffer.getbuffer())

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> TorchSession:
        """Run weights as the reference, an ONNX file simulated node by node, an engine as it was saved."""
        with exporter(), as_target_error(f"PyTorch refuses {artifact.path}"):
            match artifact.path.suffix:
                case ".safetensors":
                    module: nn.Module = load_weights(artifact.path, artifact.description.architecture)
                case ".onnx":
                    self.check_task(artifact.description.task)
                    module = to_torch(artifact.path)
                case ".pt2":
                    module = torch.export.load(artifact.path).module()
                case suffix:
                    raise TargetError(
                        f"PyTorch cannot run {artifact.path}: {suffix} is another runtime's format"
                    )
        return TorchSession(module, threads)

    def open_streams(self, artifact: Artifact, *, streams: int | None, threads: int) -> TorchStreams:
        """Make one ready to run several calls at a time, by default one for each thread."""
        return TorchStreams(self.open_session(artifact).module, streams or threads, threads)


TARGET = Torch()
