"""TensorRT and TensorRT-RTX: graph, engines, refusals and the simulation, as far as they go without a GPU."""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import subprocess
import sys
from importlib import import_module, util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import RESOLUTION, Models
from onnx import ModelProto, TensorProto, numpy_helper

from convnext_edge import benchmark, build, build_script, quiet, validate
from convnext_edge.artifact import open_artifact
from convnext_edge.errors import TargetError, UsageError
from convnext_edge.model.graph import example_input
from convnext_edge.model.half import half_scale, to_half
from convnext_edge.targets import find_target, tensorrt, tensorrt_builder, tensorrt_session
from convnext_edge.targets.base import NO_OPTIONS
from convnext_edge.targets.cuda import NO_DRIVER, NO_GPU, Gpu, NoGpu
from convnext_edge.targets.tensorrt_builder import EngineLayer, Log, build_plan, fits, parse

NAMES = sorted((Path(__file__).parent / "fixtures" / "tensorrt").glob("names-*.json"))
HERE = util.find_spec("tensorrt_rtx") is not None
rtx = pytest.mark.skipif(
    not HERE, reason="tensorrt_rtx is not installed: pip install 'convnext-edge[tensorrt-rtx]'"
)
RTX = "tensorrt-rtx"
ADA = Gpu("some RTX 4090", "8.9")

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


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on every machine; the tests that want a GPU are in test_tensorrt_gpu.py."""
    use_gpu(monkeypatch, NoGpu(NO_DRIVER))


def use_gpu(monkeypatch: pytest.MonkeyPatch, gpu: Gpu | NoGpu) -> None:
    monkeypatch.setattr(tensorrt, "find_gpu", lambda: gpu)


@pytest.fixture
def quantized(models: Models) -> Path:
    return models.quantized(RTX)


def initializers(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def types(model: ModelProto) -> dict[str, int]:
    """Element type of every value."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*inferred.input, *inferred.output, *inferred.value_info]
    constants = {tensor.name: tensor.data_type for tensor in inferred.initializer}
    return constants | {value.name: value.type.tensor_type.elem_type for value in values}


def run(model: ModelProto, images: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    logits: np.ndarray = session.run(None, {session.get_inputs()[0].name: images})[0]
    return logits


def sqnr(expected: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum()))


# The names of the vendor's module


@pytest.mark.parametrize("path", NAMES, ids=[path.stem for path in NAMES])
def test_tensorrt_10_and_11_have_every_name(path: Path) -> None:
    names = json.loads(path.read_text())["names"]
    assert set(used_of_the_module()) - set(RTX_ONLY) <= set(names)
    missing = {kind: set(used) - set(names[kind]) for kind, used in USED.items()}
    assert not any(missing.values()), missing


def test_both_generations_are_looked_at() -> None:
    assert {path.stem.split("-")[1].split(".")[0] for path in NAMES} == {"10", "11"}


@rtx
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


# The graph


def test_codes_are_signed_and_symmetric(quantized: Path) -> None:
    model = onnx.load(quantized)
    held = initializers(model)
    zeros = [
        held[n.input[2]] for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert zeros
    assert {zero.dtype for zero in zeros} == {np.dtype(np.int8)}
    assert not any(zero.any() for zero in zeros)


def test_all_codes_of_the_weights_are_used(quantized: Path) -> None:
    model = onnx.load(quantized)
    weights = [t for t in model.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) > 1]
    assert all(np.abs(numpy_helper.to_array(weight)).max() == 127 for weight in weights)
    assert {weight.name.removesuffix(".weight") for weight in weights} == set(
        open_artifact(quantized).description.quantized_layers
    )


def test_nothing_stands_between_layer_norm_and_q_or_between_matmul_and_the_next_q(quantized: Path) -> None:
    """What has to fuse: LayerNorm with Q, and MatMul, bias and GELU with the Q of the next layer."""
    model = to_half(onnx.load(quantized))
    users = {name: node for node in model.graph.node for name in node.input}
    chains = set()
    for node in model.graph.node:
        if node.name.endswith("pwconv1"):
            bias = users[node.output[0]]
            gelu = users[bias.output[0]]
            chains.add((bias.op_type, gelu.op_type, users[gelu.output[0]].op_type))
    assert chains == {("Add", "Gelu", "QuantizeLinear")}
    norms = [node for node in model.graph.node if node.op_type == "LayerNormalization"]
    behind = [behind_layout(users, node) for node in norms]
    assert behind.count("QuantizeLinear") == len(norms) - 1  # the stem's norm feeds the residual path


def behind_layout(users: dict[str, onnx.NodeProto], node: onnx.NodeProto) -> str:
    """What reads a value, seen through transposes and reshapes."""
    user = users[node.output[0]]
    return behind_layout(users, user) if user.op_type in ("Transpose", "Reshape") else user.op_type


# FP16


@pytest.mark.parametrize("name", ["quantized", "exported"])
def test_fp16_gives_the_same_answers(models: Models, name: str) -> None:
    path = models.quantized(RTX) if name == "quantized" else models.exported()
    model = onnx.load(path)
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    images = example_input(RESOLUTION, "float32", batch=4, seed=3).numpy()
    assert sqnr(run(model, images), run(half, images)) > (30 if name == "quantized" else 50)


def test_norms_stay_fp32_and_products_become_fp16(quantized: Path) -> None:
    half = to_half(onnx.load(quantized))
    kinds = types(half)
    for node in half.graph.node:
        if node.op_type in ("LayerNormalization", "ReduceMean"):
            assert kinds[node.input[0]] == kinds[node.output[0]] == TensorProto.FLOAT
        if node.op_type in ("MatMul", "Conv", "Gelu"):
            assert {kinds[name] for name in [*node.input, *node.output]} == {TensorProto.FLOAT16}
    assert kinds["image"] == kinds["logits"] == TensorProto.FLOAT


def test_grn_stays_fp32_up_to_its_factor(v2: ModelProto) -> None:
    half = to_half(v2)
    kinds = types(half)
    squares = [n for n in half.graph.node if n.op_type == "Mul" and n.input[0] == n.input[1]]
    assert squares
    kept = [*squares, *(n for n in half.graph.node if n.op_type in ("ReduceSum", "Sqrt", "Div"))]
    assert {kinds[node.output[0]] for node in kept} == {TensorProto.FLOAT}
    onnx.checker.check_model(half, full_check=True)


def test_what_would_overflow_in_fp16_does_not(v2: ModelProto) -> None:
    """GRN sums the squares of what comes out of GELU: with inputs of 300, each square is over 65504."""
    images = 300 * example_input(RESOLUTION, "float32", batch=1).numpy()
    assert np.isfinite(run(to_half(v2), images)).all()


@pytest.fixture(scope="session")
def v2_exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from convnext_edge import export

    checkpoint = Path(__file__).parent / "fixtures" / "checkpoints" / "timm_v2.safetensors"
    folder = tmp_path_factory.mktemp("v2")
    return export(checkpoint=checkpoint, resolution=RESOLUTION, target=RTX, workspace=folder).artifact


@pytest.fixture
def v2(v2_exported: Path) -> ModelProto:
    return onnx.load(v2_exported)


def test_scales_are_numbers_of_fp16(quantized: Path) -> None:
    half = to_half(onnx.load(quantized))
    held = initializers(half)
    for node in half.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale = held[node.input[1]].astype(np.float32)
            np.testing.assert_array_equal(scale, scale.astype(np.float16).astype(np.float32))


def test_a_scale_that_fp16_cannot_hold_well_is_rounded_up_with_new_codes() -> None:
    scale = np.array([4e-7, 3e-9, 6.2e-5, 0.01], np.float32)
    rounded = half_scale(scale)
    assert (rounded[:2] >= scale[:2]).all()
    np.testing.assert_allclose(rounded[2:], scale[2:], rtol=2**-11)
    weight = (127 * scale).astype(np.float32)
    codes = np.rint(weight / rounded)
    assert np.abs(codes).max() <= 127
    assert np.abs(codes * rounded - weight).max() <= rounded.max() / 2


# Engines


@rtx
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


@rtx
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


@rtx
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


@rtx
@pytest.mark.parametrize("generation", ["v1", "v2"])
def test_every_quantized_layer_is_a_product_of_int8_by_int8_in_the_engine(
    models: Models, v2_quantized: Path, generation: str
) -> None:
    """By the list of the engine's layers in the builder's log."""
    model = models.quantized(RTX) if generation == "v1" else v2_quantized
    module = import_module("tensorrt_rtx")
    log = Log(module)
    build_plan(module, tensorrt.TENSORRT_RTX.graph(model, None), NO_OPTIONS, max_batch=2, log=log)
    layers = {layer.name: layer for layer in log.layers()}
    described = open_artifact(model).description
    assert any(name.endswith("pwconv1") for name in described.quantized_layers)
    for name in described.quantized_layers:
        assert (layers[name].kind, layers[name].inputs) == ("gemm", ("Int8",))
        assert layers[name].constants[0] == "Int8"
    for name in described.float_layers:
        assert "Int8" not in layers[name].inputs + layers[name].constants


@pytest.fixture(scope="session")
def v2_quantized(v2_exported: Path, photos: Path) -> Path:
    from convnext_edge import quantize

    made = quantize(v2_exported, calib=str(photos), samples=2, target=RTX, workspace=v2_exported.parent)
    return made.artifact


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


@rtx
def test_bytes_as_input_build(models: Models, tmp_path: Path) -> None:
    model = models.quantized(RTX, input_type="uint8")
    assert "stem" in open_artifact(model).description.float_layers
    assert build(model, output=tmp_path / "a.engine", workspace=models.workspace).bytes


@rtx
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


@rtx
def test_phases_of_the_build_are_shown_and_taken_away(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Bars(tensorrt_builder.Bars):
        def start(self, name: str, total: int) -> None:
            seen.append(name)
            super().start(name, total)

        def __exit__(self, *exception: Any) -> None:
            assert not self.tasks
            super().__exit__(*exception)

    monkeypatch.setattr(tensorrt_builder, "Bars", Bars)
    tensorrt.TENSORRT_RTX.build(quantized, tmp_path / "a.engine")
    assert seen


# Refusals


def test_unsigned_activations_are_refused_with_the_command_that_helps(models: Models) -> None:
    with pytest.raises(
        TargetError, match=r"unsigned(?s:.)*quantize MODEL --calib NAME --target tensorrt-rtx"
    ):
        tensorrt.TENSORRT_RTX.graph(models.quantized("openvino"), None)


@pytest.mark.parametrize("name", ["tensorrt", RTX])
def test_a_missing_package_is_told_with_the_line_that_installs_it(
    name: str, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(monkeypatch, ADA)
    target = find_target(name)
    monkeypatch.setitem(sys.modules, target.package, None)
    with pytest.raises(TargetError, match=rf"pip install 'convnext-edge\[{name}\]'"):
        build(models.exported(), target=name, workspace=models.workspace)


@pytest.mark.parametrize(
    ("gpu", "reason"), [(NO_DRIVER, "driver is not installed"), (NO_GPU, "no NVIDIA GPU")]
)
def test_tensorrt_does_not_build_without_a_gpu(
    gpu: str, reason: str, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(monkeypatch, NoGpu(gpu))
    with pytest.raises(TargetError, match=rf"{reason}(?s:.)*--emit-script"):
        build(models.exported(), target="tensorrt", workspace=models.workspace)


@rtx
@pytest.mark.parametrize("capability", ["5.2", "89", "new"])
def test_an_unknown_compute_capability_is_refused(
    capability: str, quantized: Path, models: Models, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"{capability}(?s:.)*7\.5.*12\.0"):
        build(
            quantized,
            target=RTX,
            compute_capability=[capability],
            output=tmp_path / "a.engine",
            workspace=models.workspace,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("openvino", {"max_batch": 2}),
        ("onnxruntime", {"precision": "fp16"}),
        ("torch", {"compute_capability": ["8.9"]}),
        ("tensorrt", {"compute_capability": ["8.9"]}),
        (RTX, {"timing_cache": Path("timing.cache")}),
    ],
)
def test_options_that_mean_nothing_to_a_target_are_refused(
    target: str, options: dict[str, Any], models: Models
) -> None:
    (name,) = options
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} means nothing to target {target}"):
        build(models.exported(), target=target, workspace=models.workspace, **options)


@rtx
def test_engines_of_another_version_or_gpu_are_refused(
    models: Models, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build(
        quantized, compute_capability=["7.5"], output=tmp_path / "a.engine", workspace=models.workspace
    )
    use_gpu(monkeypatch, ADA)
    with pytest.raises(
        TargetError, match=r"built for compute capability 7\.5(?s:.)*--compute-capability 8\.9"
    ):
        tensorrt.TENSORRT_RTX.open_session(open_artifact(made.engine))
    monkeypatch.setattr(tensorrt.TensorRT, "version", lambda self: "0.9")
    with pytest.raises(TargetError, match=r"here is 0\.9(?s:.)*Build it again"):
        tensorrt.TENSORRT_RTX.open_session(open_artifact(made.engine))


@pytest.mark.parametrize(
    ("capability", "built_for", "expected"),
    [
        ("8.9", ["8.0+"], True),
        ("12.0", ["8.0+"], True),
        ("7.5", ["8.0+"], False),
        ("7.5", ["7.5", "8.9"], True),
        ("8.6", ["8.9"], False),
    ],
)
def test_which_gpu_runs_what(capability: str, built_for: list[str], expected: bool) -> None:
    assert fits(capability, built_for) is expected


def test_doctor_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_target(RTX).availability()
    assert (found.can_build, found.can_run) == (HERE, False)
    assert found.remedy
    assert not find_target("tensorrt").availability().can_build


# Without a GPU


@rtx
def test_model_and_engine_are_simulated_alike_and_labelled(
    models: Models, quantized: Path, tmp_path: Path
) -> None:
    output = models.workspace / "simulated.engine"
    engine = build(quantized, output=output, workspace=models.workspace).engine
    results = [
        validate(path, data=str(models.photos), target=RTX, workspace=models.workspace)
        for path in (quantized, engine)
    ]
    assert all(result.simulated and result.label == "simulated: no GPU here" for result in results)
    assert results[0].sqnr_db == results[1].sqnr_db
    assert results[0].sqnr_db is not None
    assert results[0].sqnr_db > 20


def test_a_simulation_is_never_timed(models: Models, quantized: Path) -> None:
    with pytest.raises(TargetError, match=r"cannot be timed here \(simulated: no GPU here"):
        benchmark(quantized, target=RTX, workspace=models.workspace)


def test_the_demo_model_keeps_its_answers(tmp_path: Path) -> None:
    from convnext_edge import export, quantize
    from convnext_edge.images import calibration_dir

    if not (calibration_dir() / "demo" / "demo.safetensors").is_file():
        pytest.skip("the weights of the demo model are not here")
    made = export("demo", target=RTX, workspace=tmp_path).artifact
    int8 = quantize(made, calib="demo", samples=128, target=RTX, workspace=tmp_path).artifact
    found = validate(int8, data="demo", target=RTX, workspace=tmp_path)
    assert found.agreement >= 0.99
    assert found.sqnr_db is not None
    assert found.sqnr_db >= 31


# --emit-script


def test_the_script_builds_with_trtexec(models: Models, tmp_path: Path) -> None:
    model = models.quantized("tensorrt")
    made = build_script(model, output=tmp_path / "folder", max_batch=4, workspace=models.workspace)
    assert made.files == ("README.md", "SHA256SUMS", "build.sh", "model.onnx")
    done, arguments = run_script(made.directory, tmp_path)
    assert done.returncode == 0, done.stderr
    size = f"3x{RESOLUTION}x{RESOLUTION}"
    assert {
        "--onnx=model.onnx",
        "--saveEngine=model.engine",
        "--stronglyTyped",
        f"--minShapes=image:1x{size}",
        f"--maxShapes=image:4x{size}",
        "--verbose",
    } <= set(arguments)
    assert not {"--int8", "--fp16", "--best"} & set(arguments)
    assert types(onnx.load(made.directory / "model.onnx"))["head.weight"] == TensorProto.INT8


def test_the_script_checks_its_files(models: Models, tmp_path: Path) -> None:
    made = build_script(models.exported(), output=tmp_path / "folder", workspace=models.workspace)
    sums = (made.directory / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, name in (line.split("  ") for line in sums)}
    content = (made.directory / "model.onnx").read_bytes()
    assert digests["model.onnx"] == hashlib.sha256(content).hexdigest()
    (made.directory / "model.onnx").write_bytes(content + b"?")
    done, arguments = run_script(made.directory, tmp_path)
    assert done.returncode != 0
    assert arguments == []


def run_script(folder: Path, tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Runs build.sh with a trtexec that only writes down how it was called."""
    if sys.platform != "linux":
        pytest.skip("the script is for Linux")
    tools, said = tmp_path / "tools", tmp_path / "said"
    tools.mkdir()
    (tools / "trtexec").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{said}"\n')
    (tools / "trtexec").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    command = [str(folder / "build.sh"), "--verbose"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done, said.read_text().splitlines() if said.exists() else []


@pytest.mark.parametrize("target", ["openvino", RTX])
def test_only_tensorrt_has_a_script(target: str, models: Models, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--emit-script means nothing"):
        build_script(models.exported(), target=target, output=tmp_path / "folder", workspace=models.workspace)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(models: Models, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        build_script(models.exported(), output=tmp_path, workspace=models.workspace)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# The session, on a stand-in for a GPU


class Context:
    """Answers with the mean of each image, through the addresses that it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes.append(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.shapes[-1][0], 1)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        import ctypes

        count = int(np.prod(self.shapes[-1]))
        read = np.ctypeslib.as_array((ctypes.c_float * count).from_address(self.addresses["image"]))
        images = self.shapes[-1][0]
        write = np.ctypeslib.as_array((ctypes.c_float * images).from_address(self.addresses["logits"]))
        write[:] = read.reshape(images, -1).mean(1)
        return True


def test_a_session_splits_what_exceeds_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    import torch

    context = Context()
    cuda = SimpleNamespace(
        Stream=lambda: SimpleNamespace(cuda_stream=0), stream=lambda _: contextlib.nullcontext()
    )
    stand_in = SimpleNamespace(
        cuda=cuda,
        float32=torch.float32,
        from_numpy=lambda array: SimpleNamespace(to=lambda device: torch.from_numpy(array)),
        empty=lambda shape, dtype, device: torch.empty(shape, dtype=dtype),
    )
    monkeypatch.setattr(tensorrt_session, "cuda_torch", lambda: stand_in)
    engine = SimpleNamespace(create_execution_context=lambda: context)
    runtime = SimpleNamespace(deserialize_cuda_engine=lambda plan: engine)
    severity = SimpleNamespace(INFO=1, WARNING=2, ERROR=3, INTERNAL_ERROR=4)
    module = SimpleNamespace(
        ILogger=type("ILogger", (), {"Severity": severity}),
        Runtime=lambda logger: runtime,
        LayerInformationFormat=SimpleNamespace(JSON=0),
    )
    images = np.random.default_rng(0).random((7, 4, 4, 3), np.float32).transpose(0, 3, 1, 2)
    with tensorrt_session.TensorRTSession(module, b"plan", max_batch=3) as session:
        found = session.run(images)
    assert [shape[0] for shape in context.shapes] == [3, 3, 1]
    np.testing.assert_allclose(found[:, 0], images.reshape(7, -1).mean(1), rtol=1e-6)
