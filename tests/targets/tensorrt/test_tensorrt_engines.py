"""Engines of TensorRT-RTX, as far as they are built without a GPU."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from support.for_tensorrt import RTX
from support.models import CHECKPOINT_V2, Models

from convnext_edge import build, quiet
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.targets.base import NO_OPTIONS
from convnext_edge.targets.tensorrt import builder as tensorrt_builder
from convnext_edge.targets.tensorrt import target as tensorrt
from convnext_edge.targets.tensorrt.builder import EngineLayer, Log, build_plan, parse

pytestmark = pytest.mark.usefixtures("no_gpu")


@pytest.mark.rtx
def test_engines_get_smaller_with_their_precision(models: Models, quantized: Path, tmp_path: Path) -> None:
    sizes = {}
    for precision, model in (("fp32", models.exported()), ("fp16", models.exported()), (None, quantized)):
        output = tmp_path / f"{precision}.engine"
        made = build(model, target=RTX, precision=precision, output=output, workspace=models.workspace)  # type: ignore[arg-type]
        described = open_artifact(made.engine).description
        sizes[described.precision] = weight_bytes_of(made.engine, models)
    assert set(sizes) == {"fp32", "fp16", "int8"}
    assert sizes["fp16"] < 0.55 * sizes["fp32"]
    assert sizes["int8"] < sizes["fp16"]


def weight_bytes_of(engine: Path, models: Models) -> int:
    """Bytes of the constants in the graph that the engine was built from: an engine holds kernels besides."""
    described = open_artifact(engine).description
    assert described.parent is not None
    precision = None if described.precision == "int8" else described.precision
    target = tensorrt.TENSORRT_RTX
    graph = target.graph(models.workspace / described.parent.name, precision)
    return sum(len(tensor.raw_data) for tensor in graph.graph.initializer)


@pytest.mark.rtx
def test_the_sidecar_tells_version_and_compute_capabilities(
    models: Models, quantized: Path, tmp_path: Path
) -> None:
    options = {"target": RTX, "workspace": models.workspace}
    plain = build(quantized, output=tmp_path / "a.engine", **options)  # type: ignore[arg-type]
    several = build(
        quantized,
        output=tmp_path / "b.engine",
        compute_capability=["7.5", "8.9"],
        max_batch=3,
        **options,  # type: ignore[arg-type]
    )
    recorded = [open_artifact(made.engine).description.engine for made in (plain, several)]
    assert all(r is not None and r["version"] == plain.runtime_version for r in recorded)
    assert [r["compute_capabilities"] for r in recorded if r] == [["8.0+"], ["7.5", "8.9"]]
    assert [r["max_batch"] for r in recorded if r] == [8, 3]
    assert several.bytes != plain.bytes


@pytest.mark.rtx
def test_every_quantized_layer_is_an_int8_product_in_the_network(quantized: Path) -> None:
    """As far as the API tells without a GPU: the network that the builder is given."""
    module = import_module("tensorrt_rtx")
    log = Log(module)
    builder = module.Builder(log.logger)
    network = parse(module, builder, tensorrt.TENSORRT_RTX.graph(quantized, None), log)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    makers = {layer.get_output(0).name: layer for layer in layers}
    products = [layer for layer in layers if layer.type == module.LayerType.MATRIX_MULTIPLY]
    quantized_layers = set(open_artifact(quantized).description.quantized_layers)
    assert quantized_layers <= {layer.name for layer in products}
    for layer in products:
        if layer.name in quantized_layers:
            weight = source(makers, layer.get_input(1), module.LayerType.DEQUANTIZE)
            assert weight.get_input(0).dtype == module.DataType.INT8
            activation = source(makers, layer.get_input(0), module.LayerType.DEQUANTIZE)
            assert makers[activation.get_input(0).name].type == module.LayerType.QUANTIZE


@pytest.mark.rtx
@pytest.mark.parametrize("generation", ["v1", "v2"])
def test_every_quantized_layer_is_a_product_of_int8_by_int8_in_the_engine(
    models: Models, v2_quantized: Path, generation: str
) -> None:
    """By the list of the engine's layers in the builder's log."""
    model = models.quantized(RTX) if generation == "v1" else v2_quantized
    module = import_module("tensorrt_rtx")
    log = Log(module)
    (part,) = tensorrt.TENSORRT_RTX.parts(model, None, max_batch=2)
    build_plan(module, part, NO_OPTIONS, log=log)
    layers = {layer.name: layer for layer in log.layers()}
    described = open_artifact(model).description
    assert any(name.endswith("pwconv1") for name in described.quantized_layers)
    for name in described.quantized_layers:
        assert (layers[name].kind, layers[name].inputs) == ("gemm", ("Int8",))
        assert layers[name].constants[0] == "Int8"
    for name in described.float_layers:
        assert "Int8" not in layers[name].inputs + layers[name].constants


@pytest.fixture
def v2_quantized(models: Models) -> Path:
    return models.quantized(RTX, checkpoint=CHECKPOINT_V2)


def test_a_line_of_the_builders_log_becomes_a_layer() -> None:
    """As TensorRT-RTX 1.7.1 wrote it, shortened."""
    line = (
        "Name: stages.0.blocks.0.pwconv1_myl0_6, LayerType: gemm, Inputs: [ { Name: quantize.1_myl0,"
        " Dimensions: [-1,32], Strides: [32,1], Datatype: Int8, Format: (Linear) Row major linear format }],"
        " Constants: [ { Name: __mye45592_dconst_myl0, Dimensions: [32,128], Datatype: Int8 }, { Name: alpha,"
        " Dimensions: [1], Datatype: Float }], Outputs: [ { Name: out, Datatype: Half }], TacticName: x"
    )
    expected = EngineLayer("stages.0.blocks.0.pwconv1", "gemm", ("Int8",), ("Int8", "Float"))
    assert EngineLayer.parse(line) == expected


def source(makers: dict[str, Any], tensor: Any, kind: Any) -> Any:
    """The layer of that kind behind a tensor, seen through changes of layout."""
    layer = makers[tensor.name]
    while layer.type != kind:
        layer = makers[layer.get_input(0).name]
    return layer


@pytest.mark.rtx
def test_bytes_as_input_build(models: Models, tmp_path: Path) -> None:
    model = models.quantized(RTX, input_type="uint8")
    assert "stem" in open_artifact(model).description.float_layers
    assert build(model, output=tmp_path / "a.engine", workspace=models.workspace).bytes


@pytest.mark.rtx
def test_the_builder_is_heard_with_verbose_only(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    target = tensorrt.TENSORRT_RTX
    with caplog.at_level(logging.INFO, "convnext_edge.tensorrt"):
        target.build(quantized, tmp_path / "a.engine")
        assert not caplog.records
        monkeypatch.setattr(quiet, "_verbose", True)
        target.build(quantized, tmp_path / "b.engine")
    assert any("Total Weights Memory" in record.message for record in caplog.records)


@pytest.mark.rtx
def test_phases_of_the_build_are_shown_and_taken_away(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    taken_away: list[bool] = []

    class Bars(tensorrt_builder.Bars):
        def start(self, name: str, total: int) -> None:
            seen.append(name)
            super().start(name, total)

        def __exit__(self, *exception: Any) -> None:
            taken_away.append(not self.shown)
            super().__exit__(*exception)

    monkeypatch.setattr(tensorrt_builder, "Bars", Bars)
    tensorrt.TENSORRT_RTX.build(quantized, tmp_path / "a.engine")
    assert seen
    assert taken_away == [True]
