"""Runs of a model on several threads: what they record of the inputs of its layers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from convnext_edge.cpu import Cpu
from convnext_edge.quantization import recording
from convnext_edge.quantization.recording import record_inputs, side_by_side


class Recorded(nn.Module):
    """Doubles its input; the first batch takes longest, so that runs end out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.threads: set[int] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.threads.add(threading.get_ident())
        time.sleep(0.05 if x.flatten()[0] == 0 else 0.01)
        doubled: Tensor = self.layer(2 * x)
        return doubled


@pytest.fixture(autouse=True)
def _three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyTorch has three threads, and a CPU for each, whatever this machine has."""
    monkeypatch.setattr(recording, "usable_cpus", lambda: 3)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_records_come_in_the_order_of_the_batches() -> None:
    module = Recorded()
    batches = [torch.full((1, 1), float(number)) for number in range(8)]
    seen = list(record_inputs(module, batches, {"only": module.layer}, lambda name, x: (name, float(x))))
    assert seen == [{"only": ("only", 2.0 * number)} for number in range(8)]
    assert len(module.threads) == 3


def test_the_model_is_left_as_it_was_also_after_an_error() -> None:
    module = Recorded()

    def record(_name: str, _x: Tensor) -> None:
        raise ValueError("seen enough")

    with pytest.raises(ValueError, match="seen enough"):
        list(record_inputs(module, [torch.ones(1, 1)], {"only": module.layer}, record))
    assert not module.layer._forward_pre_hooks
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("most_at_once", "threads"), [(8, 1), (1, 3)])
def test_the_threads_of_pytorch_are_shared_out(
    monkeypatch: pytest.MonkeyPatch, most_at_once: int, threads: int
) -> None:
    monkeypatch.setattr(recording, "MOST_AT_ONCE", most_at_once)
    assert set(side_by_side(lambda _: torch.get_num_threads(), range(6))) == {threads}
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("isa", "large", "dtype"),
    [
        (("avx2",), True, torch.float32),
        (("avx512f", "avx512_bf16"), False, torch.float32),
        (("avx512f", "avx512_bf16"), True, torch.bfloat16),
    ],
)
def test_bfloat16_is_for_large_models_on_cpus_that_multiply_it(
    monkeypatch: pytest.MonkeyPatch, isa: tuple[str, ...], large: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(recording, "read_cpu", lambda: Cpu("some CPU", isa, int8_saturates=False))
    module = nn.Sequential(nn.Linear(4, 4), nn.Identity())
    monkeypatch.setattr(recording, "LARGE", 20 if large else 21)  # it has 16 weights and 4 biases
    (seen,) = record_inputs(module, [torch.ones(1, 4)], {"after": module[1]}, lambda _name, x: x.dtype)
    assert seen == {"after": dtype}
