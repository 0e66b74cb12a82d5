"""What Python's callers give to a command is checked by its annotations, before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convnext_edge import (
    benchmark,
    build,
    build_script,
    compare,
    export,
    finetune,
    predict,
    quantize,
    validate,
)
from convnext_edge.commands.checking import checked
from convnext_edge.errors import UsageError
from convnext_edge.paths import AnyPath

WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (export, {"resolution": "32"}, "export: resolution must be an integer or 2 integers, is '32' (a string)"),
    (export, {"resolution": 32.0}, "export: resolution must be an integer or 2 integers, is 32.0 (a float)"),
    (export, {"seed": True}, "export: seed must be an integer, is True (a bool)"),
    (export, {"seed": None}, "export: seed must be an integer, is None (NoneType)"),
    (export, {"random_weights": "no"}, "export: random_weights must be True or False, is 'no' (a string)"),
    (export, {"checkpoint": 3}, "export: checkpoint must be a path, is 3 (an integer)"),
    (export, {"mean": 0.5}, "export: mean must be a tuple of numbers, is 0.5 (a float)"),
    (export, {"variant": Path("tiny")}, "export: variant must be a string, is "),
    (export, {"input_type": 8}, "export: input_type must be one of 'float32', 'uint8', is 8 (an integer)"),
    (
        quantize,
        {"calib": "x", "keep_float": "head"},
        "quantize: keep_float must be a list of strings, is 'head' (a string); write ['head']",
    ),
    (quantize, {"calib": "x", "keep_float": [1]}, "quantize: keep_float must be a list of strings, is [1]"),
    (
        compare,
        {"calib": "x", "data": "x", "methods": "ptq"},
        "compare: methods must be a list of paths or strings, is 'ptq' (a string); write ['ptq']",
    ),
    (
        compare,
        {"calib": "x", "data": "x", "targets": {"torch"}},
        "compare: targets must be a list of strings",
    ),
    (build, {"compute_capability": "8.9"}, "build: compute_capability must be a list of strings"),
    (build_script, {"max_batch": "8"}, "build_script: max_batch must be an integer, is '8' (a string)"),
    (validate, {"data": "x", "max_drop": "1"}, "validate: max_drop must be a number, is '1' (a string)"),
    (validate, {"data": None}, "validate: data must be a path, is None"),
    (
        predict,
        {"pictures": 3},
        "predict: pictures must be a path or an image of Pillow's or an array of NumPy's or a list",
    ),
    (predict, {"pictures": [np.zeros((2, 2, 3), np.uint8), None]}, "predict: pictures must be a path or"),
    (predict, {"engine": np.zeros((2, 2, 3), np.uint8)}, "predict: engine must be a path, is array("),
]


@pytest.mark.parametrize(("function", "given", "message"), WRONG, ids=[text for _, _, text in WRONG])
def test_a_wrong_type_is_named_with_its_argument(
    function: Callable[..., Any], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        function(**given)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (benchmark, {"batch": 0}, "--batch 0 is less than 1"),
        (benchmark, {"min_speedup": float("nan")}, "--min-speedup nan is not a finite number"),
        (export, {"crop": 0.0}, "--crop 0.0 is not above 0"),
        (export, {"seed": 2**32}, "--seed 4294967296 is more than"),
        (export, {"input_type": "bytes"}, "input_type 'bytes' is none of its choices"),
        (finetune, {"train": "x", "label_weight": 2}, "--label-weight 2.0 is more than 1"),
    ],
)
def test_a_value_out_of_bounds_is_wrong_usage(
    function: Callable[..., Any], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        function(**given)


@checked
def sample(
    where: AnyPath, *, count: int = 1, rate: float | None = None, names: tuple[float, float] = (0, 1)
) -> tuple[object, ...]:
    return where, count, rate, names


def test_what_is_convenient_and_plain_is_taken() -> None:
    found = sample(Path("x"), count=np.int64(3), rate=2, names=[1, np.float32(0.5)])  # type: ignore[arg-type]
    assert found == (Path("x"), 3, 2.0, (1.0, 0.5))
    assert [type(value) for value in found[1:3]] == [int, float]
    assert sample("x") == ("x", 1, None, (0, 1))


def test_what_is_missing_or_unknown_is_said_by_python() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'where'"):
        sample()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'cuont'"):
        sample("x", cuont=3)  # type: ignore[call-arg]
