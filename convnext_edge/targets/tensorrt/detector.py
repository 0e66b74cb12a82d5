"""A detector in two engines: what lies between them is computed here, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convnext_edge.architecture import Architecture
from convnext_edge.cpu import usable_cpus
from convnext_edge.detection import BOX_EDGE, MASK_EDGE
from convnext_edge.network.exporter import running
from convnext_edge.network.remote_detector import RemoteMaskRCNN
from convnext_edge.network.threads import operator_threads
from convnext_edge.onnx_graph.detector_parts import DENSE_OUTPUTS, heads_inputs, heads_outputs
from convnext_edge.onnx_graph.naming import INPUT
from convnext_edge.targets.base import Images, Outputs, Session
from convnext_edge.targets.tensorrt.parts import Part
from convnext_edge.targets.tensorrt.session import (
    Engine,
    SimulatedEngine,
    TensorRTSession,
    TensorRTSimulation,
)

Values = Mapping[str, NDArray[Any]]  # by name


class Runner(Protocol):
    """Something that computes a graph of several inputs and outputs."""

    def run(self, values: Values) -> Values:
        """Return all outputs for all inputs."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


def open_engines(
    architecture: Architecture, module: Any, plans: tuple[bytes, bytes], max_batch: int
) -> DetectorSession:
    """Open the engines of the dense part and of the heads on the GPU."""
    dense, heads = (
        Engine(module, plan, inputs)
        for plan, inputs in zip(plans, ((INPUT,), heads_inputs(architecture.box_heads)), strict=True)
    )
    return DetectorSession(architecture, dense, heads, max_batch=max_batch)


def simulate(architecture: Architecture, parts: Sequence[Part], threads: int | None) -> DetectorSimulation:
    """Open both parts in ONNX Runtime."""
    dense, heads = (SimulatedEngine(part.graph, threads) for part in parts)
    most = parts[0].ranges[INPUT].most
    return DetectorSimulation(architecture, dense, heads, max_batch=most, threads=threads)


class DetectorSession(Session):
    """The dense part and the heads of a detector, with the choice of boxes between them."""

    runner = TensorRTSession.runner

    def __init__(
        self,
        architecture: Architecture,
        dense: Runner,
        heads: Runner,
        *,
        max_batch: int,
        threads: int | None = None,
    ) -> None:
        self.dense, self.heads, self.max_batch = dense, heads, max_batch
        self.threads = threads or usable_cpus()
        *self.of_boxes, self.of_masks = heads_inputs(architecture.box_heads)
        self.answers = heads_outputs(architecture.box_heads)
        width = architecture.decoder_width
        edges = {**dict.fromkeys(self.of_boxes, BOX_EDGE), self.of_masks: MASK_EDGE}
        self.unasked = {name: np.zeros((1, width, edge, edge), np.float32) for name, edge in edges.items()}
        self.between = RemoteMaskRCNN(architecture, self._ask_boxes, self._ask_masks)

    def _run(self, images: Images) -> Outputs:
        """Run the dense part in as many calls as its largest batch asks for, and the heads for each image."""
        size = (images.shape[2], images.shape[3])
        with running(), operator_threads(self.threads), torch.inference_mode():
            found = [
                self.between([value[image : image + 1] for value in dense], size)
                for start in range(0, len(images), self.max_batch)
                for dense in [self._dense(images[start : start + self.max_batch])]
                for image in range(len(dense[0]))
            ]
        return tuple(torch.cat(parts).numpy() for parts in zip(*found, strict=True))

    def _dense(self, images: Images) -> list[Tensor]:
        told = self.dense.run({INPUT: images})
        return [torch.from_numpy(told[name]) for name in DENSE_OUTPUTS]

    def _ask_boxes(self, number: int, pieces: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = self._ask(self.of_boxes[number], pieces)
        return logits, deltas

    def _ask_masks(self, pieces: Tensor) -> Sequence[Tensor]:
        return self._ask(self.of_masks, pieces)

    def _ask(self, name: str, pieces: Tensor) -> list[Tensor]:
        """Return what the heads answer to pieces of one input, and to a single one of the others."""
        told = self.heads.run({**self.unasked, name: pieces.contiguous().numpy()})
        return [torch.from_numpy(told[output]) for output in self.answers[name]]

    def close(self) -> None:
        self.dense.close()
        self.heads.close()


class DetectorSimulation(DetectorSession):
    """Both parts, simulated."""

    runner = TensorRTSimulation.runner
    simulated = True
    label = TensorRTSimulation.label
