"""The operators of detection, written in ONNX: the same values in ONNX Runtime and OpenVINO as in PyTorch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convnext_edge.network.detection_ops import best, cut_out, suppress
from convnext_edge.network.exporter import exporter
from convnext_edge.onnx_graph.detection import translations

FIXTURES = Path(__file__).parents[1] / "fixtures" / "detection"
EDGES = (16, 8)  # of two maps
OUTSIDE = [
    [-20.0, -20.0, 400.0, 300.0],
    [10.0, 10.0, 10.001, 10.001],
]  # beyond the image, and all but nothing


class Called(nn.Module):
    """A module that is one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Tensor) -> Any:
        return self.function(*values)


def run_all(function: Callable[..., Any], values: list[Tensor], path: Path) -> list[list[NDArray[Any]]]:
    """Return what PyTorch, ONNX Runtime and OpenVINO answer."""
    module = Called(function)
    with exporter():
        program = torch.onnx.export(
            module,
            tuple(values),
            dynamo=True,
            opset_version=20,
            custom_translation_table=translations(),
            verbose=False,
        )
    assert program is not None
    program.save(path)
    exact = module(*values)
    arrays = [value.numpy() for value in values]
    session = onnxruntime.InferenceSession(path)
    given = {each.name: array for each, array in zip(session.get_inputs(), arrays, strict=True)}
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answers = compiled(arrays)
    return [
        [each.numpy() for each in (exact if isinstance(exact, tuple) else (exact,))],
        list(session.run(None, given)),
        [answers[number] for number in range(len(compiled.outputs))],
    ]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("chosen", ["both", "first"])  # of the maps: none may be of the other
def test_what_is_cut_out_of_maps(aligned: bool, chosen: str, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 3, edge, edge, generator=random) for edge in EDGES]
    corners = 64 * torch.rand(2, 10, 2, generator=random)
    boxes = torch.cat([corners, corners + 40 * torch.rand(2, 10, 2, generator=random)], dim=2)
    boxes[:, :2] = torch.tensor(OUTSIDE)
    level = torch.arange(20).view(2, 10) % (2 if chosen == "both" else 1)

    def function(fine: Tensor, coarse: Tensor, boxes: Tensor, level: Tensor) -> Tensor:
        return cut_out([fine, coarse], boxes, level, [0.25, 0.125], 7, aligned)

    exact, *others = run_all(function, [*maps, boxes, level], tmp_path / "a.onnx")
    assert exact[0].shape == (20, 3, 7, 7)
    assert np.abs(exact[0]).max() > 1
    for found in others:
        np.testing.assert_allclose(found[0], exact[0], atol=1e-4)


def test_what_overlaps_is_dropped(tmp_path: Path) -> None:
    told = np.load(FIXTURES / "nms.npz")
    boxes = torch.from_numpy(told["boxes"]).view(2, 200, 4)
    scores = torch.from_numpy(told["scores"]).view(2, 200) - 0.1  # some are below 0
    exact, *others = run_all(lambda b, s: suppress(b, s, 0.3), [boxes, scores], tmp_path / "a.onnx")
    kept = exact[0] > 0
    assert 50 < kept.sum() < (scores > 0).sum()
    assert (exact[0][~kept] == -1).all()
    for found in others:
        np.testing.assert_array_equal(found[0], exact[0])


def test_the_best_are_chosen(tmp_path: Path) -> None:
    scores = torch.randn(2, 300, generator=torch.Generator().manual_seed(0))
    exact, *others = run_all(lambda s: best(s, 40), [scores], tmp_path / "a.onnx")
    assert (np.diff(exact[0]) <= 0).all()
    assert exact[0][:, 0].tolist() == scores.amax(1).tolist()
    for found in others:
        np.testing.assert_array_equal(found[0], exact[0])
        np.testing.assert_array_equal(found[1], exact[1])


@pytest.mark.slow
def test_what_writes_the_operators_knows_them_in_a_process_that_has_no_detector() -> None:
    program = "from convnext_edge.onnx_graph.detection import translations; print(len(translations()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"
