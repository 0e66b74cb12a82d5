"""The layers of a lowered model that have weights: what each is called, and which kind it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from convnext_edge.network.forms import MatMul, Multiplication

LayerKind = Literal["stem", "downsample", "depthwise", "pointwise", "head", "decoder"]


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with weights of a lowered model, which is one convolution or one matrix multiplication."""

    # of the reference's layer, as stages.0.blocks.1.pwconv1; of two that became one, both, as rpn.a+b.0
    name: str
    kind: LayerKind
    module: Multiplication
    weight_name: str  # of module.weight in the model's state_dict, and in every graph exported from it
    reads_bytes: bool  # whether its input is the uint8 image
    # Whether runtimes of this form compute it in INT8 with an output in float: ONNX Runtime no convolution.
    has_int8_kernel: bool = True
    pieces: int = 1  # of an image that go in as if each was one: of a detector's heads, the boxes

    @property
    def depthwise(self) -> bool:
        """Whether each of its weights multiplies one channel only."""
        return self.kind == "depthwise"

    @property
    def channel_axis(self) -> int:
        """The axis of the output channels in module.weight."""
        return 1 if isinstance(self.module, MatMul) else 0

    @property
    def weight(self) -> Tensor:
        """A view of the weight with the output channels first: (O, I / groups, kh, kw), or (O, K)."""
        return self.module.weight.data.movedim(self.channel_axis, 0)

    @property
    def weight_matrix(self) -> Tensor:
        """A view of the weight with one row for each output channel, (O, K)."""
        return self.weight.flatten(1)

    def set_weight_matrix(self, matrix: Tensor) -> None:
        """Replace the weight by `matrix` (O, K)."""
        if isinstance(self.module, MatMul):
            self.module.weight.data = matrix.T.contiguous()
        else:
            self.module.weight.data = matrix.view_as(self.module.weight)

    def add_to_bias(self, correction: Tensor) -> None:
        """Add `correction` (O,) to the bias."""
        assert self.module.bias is not None  # every layer of a lowered model has one
        self.module.bias.data = self.module.bias.data + correction


def find_multiplication(layer: nn.Module) -> Multiplication:
    """Return the one convolution or matrix multiplication in a module that a form made."""
    (found,) = (module for module in layer.modules() if isinstance(module, Multiplication))
    return found
