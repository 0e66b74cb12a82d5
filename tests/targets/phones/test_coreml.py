"""Core ML: what a package holds, as far as Core ML Tools tell where nothing of Apple's runs it."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
from support.models import RESOLUTION, Models

from convnext_edge import benchmark, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.qdq import placement
from convnext_edge.targets.phones import coreml
from convnext_edge.targets.registry import find_target

NAME = "coreml"
HERE = util.find_spec("coremltools") is not None


@pytest.fixture
def engine(models: Models) -> Path:
    return models.engine(NAME, models.quantized(NAME))


def unpacked(engine: Path, folder: Path) -> Path:
    with ZipFile(engine) as archive:
        archive.extractall(folder)
    (package,) = folder.glob("*.mlpackage")
    return package


# What needs no Core ML Tools


@pytest.mark.skipif(HERE, reason="coremltools is installed")
def test_without_core_ml_tools_the_error_says_how_to_install_them(models: Models, tmp_path: Path) -> None:
    target = find_target(NAME)
    assert target.availability().remedy == "pip install 'convnext-edge[coreml]'"
    with pytest.raises(TargetError, match="needs the package coremltools") as caught:
        target.build(models.quantized(NAME), tmp_path / "a.mlpackage.zip")
    assert caught.value.hint == "pip install 'convnext-edge[coreml]'"


class Predictions:
    """Stands in for a model of Core ML's: answers with the mean of each channel."""

    def __init__(self, package: str) -> None:
        assert (Path(package) / "Manifest.json").is_file()

    def predict(self, values: dict[str, Any]) -> dict[str, np.ndarray]:
        value = np.asarray(values["image"])  # a picture is (H, W, 3)
        return {"logits": value.mean((0, 1))[None] if value.ndim == 3 else value.mean((2, 3))}


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    tools = SimpleNamespace(models=SimpleNamespace(MLModel=Predictions))
    monkeypatch.setitem(sys.modules, "coremltools", tools)
    package = tmp_path / "a.mlpackage"
    package.mkdir()
    (package / "Manifest.json").write_text("{}")
    coreml.pack(package, tmp_path / "a.mlpackage.zip")
    return tmp_path / "a.mlpackage.zip"


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_session_hands_core_ml_one_image_a_call(
    on_a_mac: Path, batch: dict[str, np.ndarray], dtype: str
) -> None:
    with coreml.CoreMLSession(on_a_mac) as session:
        found = session.run(batch[dtype][:3])
    assert np.allclose(found, batch[dtype][:3].mean((2, 3)), atol=1e-4)


# Packages


@pytest.mark.coreml
def test_each_product_that_is_quantized_is_int8_in_the_package(
    models: Models, engine: Path, tmp_path: Path
) -> None:
    import coremltools

    specification = coremltools.utils.load_spec(str(unpacked(engine, tmp_path)))
    (block,) = specification.mlProgram.functions["main"].block_specializations.values()
    operators = [operation.type for operation in block.operations]
    products = sum(placement(onnx.load(models.quantized(NAME))).values())
    for operator in ("constexpr_affine_dequantize", "quantize", "dequantize"):
        assert operators.count(operator) == products > 0
    image, logits = specification.description.input[0], specification.description.output[0]
    assert (image.name, [*image.type.multiArrayType.shape]) == ("image", [1, 3, RESOLUTION, RESOLUTION])
    assert (logits.name, [*logits.type.multiArrayType.shape]) == ("logits", [1, 10])


@pytest.mark.coreml
def test_the_package_says_what_it_is_and_that_nothing_ran_it(engine: Path) -> None:
    recorded = open_artifact(engine).description.engine
    assert recorded is not None
    assert recorded["notes"][-1].startswith("unverified on a device")
    with ZipFile(engine) as archive:
        names = archive.namelist()
    assert all(name.startswith(f"{engine.name.removesuffix('.zip')}/") for name in names)
    assert not [name for name in names if "executorch" in name]


@pytest.mark.coreml
def test_a_package_of_raw_bytes_takes_pictures(models: Models, tmp_path: Path) -> None:
    import coremltools

    made = models.engine(NAME, models.exported("uint8"))
    image = coremltools.utils.load_spec(str(unpacked(made, tmp_path))).description.input[0].type.imageType
    assert (image.width, image.height, image.colorSpace) == (RESOLUTION, RESOLUTION, image.RGB)
    assert open_artifact(made).description.precision == "fp16"


@pytest.mark.coreml
@pytest.mark.skipif(coreml.APPLE, reason="Core ML runs here")
def test_validate_simulates_and_benchmark_refuses_to(models: Models, engine: Path) -> None:
    found = validate(engine, data=str(models.photos), workspace=models.workspace)
    assert (found.simulated, found.agreement) == (True, 1)
    assert found.label == "simulated: Core ML runs on Apple's systems only"
    with pytest.raises(TargetError, match="coreml cannot be timed here"):
        benchmark(engine, workspace=models.workspace)
    available = find_target(NAME).availability()
    assert (available.can_build, available.can_run) == (True, False)
