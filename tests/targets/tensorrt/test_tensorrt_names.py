"""TensorRT and TensorRT-RTX: every name that we use of the vendor's modules is there."""

from __future__ import annotations

import ast
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from support.places import TESTS

from convnext_edge.targets.tensorrt import builder as tensorrt_builder
from convnext_edge.targets.tensorrt import session as tensorrt_session

NAMES = sorted((TESTS / "fixtures" / "tensorrt").glob("names-*.json"))

# What we use of a class; of the module itself, what a test below finds in the source.
USED = {
    "Builder": [
        "build_serialized_network",
        "create_builder_config",
        "create_network",
        "create_optimization_profile",
    ],
    "BuilderFlag": ["TF32"],
    "EngineInspector": ["get_engine_information"],
    "IBuilderConfig": [
        "add_optimization_profile",
        "clear_flag",
        "create_timing_cache",
        "get_timing_cache",
        "profiling_verbosity",
        "progress_monitor",
        "set_timing_cache",
    ],
    "ICudaEngine": ["create_engine_inspector", "create_execution_context"],
    "IExecutionContext": ["execute_async_v3", "get_tensor_shape", "set_input_shape", "set_tensor_address"],
    "ILogger": ["Severity", "log"],
    "ILogger.Severity": ["ERROR", "INFO", "INTERNAL_ERROR", "WARNING"],
    "INetworkDefinition": ["get_input"],
    "IOptimizationProfile": ["set_shape"],
    "IProgressMonitor": ["phase_finish", "phase_start", "step_complete"],
    "ITimingCache": ["serialize"],
    "LayerInformationFormat": ["JSON"],
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
    "OnnxParser": ["get_error", "num_errors", "parse_from_file"],
    "ParserError": ["desc"],
    "ProfilingVerbosity": ["DETAILED"],
    "Runtime": ["deserialize_cuda_engine"],
}
RTX_ONLY = {
    "ComputeCapability": ["SM75", "SM86", "SM89"],
    "EngineInvalidityDiagnostics": ["UNSUPPORTED_CC", "VERSION_MISMATCH"],
    "EngineValidity": ["INVALID"],
    "IBuilderConfig": ["num_compute_capabilities", "set_compute_capability"],
    "Runtime": ["get_engine_validity"],
}


@pytest.mark.parametrize("path", NAMES, ids=[path.stem for path in NAMES])
def test_tensorrt_10_and_11_have_every_name(path: Path) -> None:
    names = json.loads(path.read_text())["names"]
    assert set(used_of_the_module()) - set(RTX_ONLY) <= set(names)
    missing = {kind: set(used) - set(names[kind]) for kind, used in USED.items()}
    assert not any(missing.values()), missing


def test_both_generations_are_looked_at() -> None:
    assert {path.stem.split("-")[1].split(".")[0] for path in NAMES} == {"10", "11"}


@pytest.mark.rtx
def test_tensorrt_rtx_has_every_name() -> None:
    module = import_module("tensorrt_rtx")
    assert all(hasattr(module, name) for name in used_of_the_module())
    for kind, used in [*USED.items(), *RTX_ONLY.items()]:
        value: Any = module
        for part in kind.split("."):
            value = getattr(value, part)
        assert [name for name in used if not hasattr(value, name)] == []


def used_of_the_module() -> list[str]:
    """What our source takes from the vendor's module."""
    found = set()
    for source in (tensorrt_builder, tensorrt_session):
        for node in ast.walk(ast.parse(Path(str(source.__file__)).read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "module"
            ):
                found.add(node.attr)
    return sorted(name for name in found if not name.startswith("__"))
