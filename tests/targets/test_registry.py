"""The registry of targets: light to import, and each name leads to the target of that name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from convnext_edge.errors import UsageError
from convnext_edge.targets.registry import DEFAULT, NAMES, find_target

HEAVY = {"numpy", "torch", "onnx", "openvino", "onnxruntime"}


@pytest.mark.parametrize("module", ["registry", "vendor_errors"])
def test_what_the_command_line_needs_of_targets_loads_no_heavy_package(module: str) -> None:
    script = f"import sys, convnext_edge.targets.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert f"convnext_edge.targets.{module}" in loaded.split()
    assert not HEAVY & set(loaded.split())


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_found_by_its_name(name: str) -> None:
    assert find_target(name).name == name


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown target 'npu'(?s:.)*openvino") as caught:
        find_target("npu")
    assert all(name in caught.value.hint for name in NAMES)
    assert DEFAULT in NAMES
