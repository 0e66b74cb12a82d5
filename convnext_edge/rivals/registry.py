"""All rivals, in the order of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from convnext_edge.errors import UsageError, nearest
from convnext_edge.rivals.rival import Rival, Step

PYTORCH = "https://docs.pytorch.org/tutorials/recipes/recipes/amp_recipe.html"
COMPILE = "https://docs.pytorch.org/docs/stable/generated/torch.compile.html"
X86 = "https://docs.pytorch.org/ao/stable/pt2e_quantization/pt2e_quant_x86_inductor.html"
PRECISION = "https://docs.openvino.ai/2026/openvino-workflow/running-inference/optimize-inference/precision-control.html"
NNCF = "https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training/"
AIMET = "https://quic.github.io/aimet-pages/releases/latest/techniques/index.html"
MODELOPT = "https://nvidia.github.io/Model-Optimizer/guides/_onnx_quantization.html"
OLIVE = "https://microsoft.github.io/Olive/features/quantization.html"
QUARK = "https://quark.docs.amd.com/latest/onnx/basic_usage_onnx.html"
ORT = "https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html"

EXPORTED, WEIGHTS = Step("onnxruntime:keep"), Step("torch:keep")
IN_ORT, IN_OPENVINO = Step("onnxruntime:run"), Step("openvino:run")
IN_OPENVINO_F32, IN_OPENVINO_BF16 = (Step("openvino:run", {"precision": kind}) for kind in ("f32", "bf16"))


def pytorch() -> Iterator[Rival]:
    """Yield PyTorch itself, which inductor compiles or not."""
    for name, command, source, options in (
        ("eager", "model(image)", PYTORCH, {}),
        ("eager bf16", 'torch.autocast("cpu", torch.bfloat16)', PYTORCH, {"bfloat16": True}),
        ("compile", "torch.compile(model), freezing", COMPILE, {"compiled": True}),
        (
            "compile bf16",
            "torch.compile(model), freezing, autocast to bfloat16",
            COMPILE,
            {"compiled": True, "bfloat16": True},
        ),
    ):
        yield Rival(name, command, source, "torch", WEIGHTS, Step("torch:run", options), "torch")


def inductor() -> Iterator[Rival]:
    """Yield what quantizes for inductor."""
    quantize = Step("torchao:quantize")
    for name, more, options in (("torchao", "", {}), ("torchao cpp", ", cpp_wrapper", {"cpp_wrapper": True})):
        yield Rival(
            name,
            f"X86InductorQuantizer, torch.compile, freezing{more}",
            X86,
            "torch",
            quantize,
            Step("torchao:run", options),
            "torchao",
        )
    yield Rival(
        "INC",
        "neural_compressor: prepare, convert with get_default_static_config(), torch.compile, freezing",
        "https://intel.github.io/neural-compressor/latest/docs/source/3x/PT_StaticQuant.html",
        "torch",
        Step("neural_compressor:quantize"),
        Step("torchao:run"),
        "neural-compressor-pt",
        environment="neural_compressor",
        runs_there=True,
    )


def openvino() -> Iterator[Rival]:
    """Yield OpenVINO in float."""
    for name, run, hint in (("fp32", IN_OPENVINO_F32, "f32"), ("bf16", IN_OPENVINO_BF16, "bf16")):
        command = f'compile_model(..., {{"INFERENCE_PRECISION_HINT": "{hint}"}})'
        yield Rival(name, command, PRECISION, "openvino", EXPORTED, run, "openvino")


def nncf() -> Iterator[Rival]:
    """Yield NNCF's ways, each as OpenVINO runs it by default, and with what is left in float in FP32."""
    basic, control = f"{NNCF}basic-quantization-flow.html", f"{NNCF}quantizing-with-accuracy-control.html"
    for name, call, source, step in (
        ("NNCF", "nncf.quantize(model, dataset)", basic, Step("nncf:quantize")),
        (
            "NNCF transf.",
            "nncf.quantize(model, dataset, model_type=TRANSFORMER)",
            basic,
            Step("nncf:quantize", {"transformer": True}),
        ),
        (
            "NNCF control",
            "nncf.quantize_with_accuracy_control(..., max_drop=0.01)",
            control,
            Step("nncf:with_accuracy_control"),
        ),
    ):
        yield Rival(name, call, source, "openvino", step, IN_OPENVINO, "nncf")
        yield Rival(f"{name} f32", f"{call}, hint f32", source, "openvino", step, IN_OPENVINO_F32, "nncf")


def onnxruntime() -> Iterator[Rival]:
    """Yield ONNX Runtime in float, and its own quantizer."""
    for name, command, step in (
        ("fp32", "InferenceSession(model)", EXPORTED),
        ("static", "quantize_static(...)", Step("onnxruntime:static")),
        *(
            (
                f"static {short}",
                f"quantize_static(..., {written})",
                Step("onnxruntime:static", options),
            )
            for short, written, options in (
                ("channel", "per_channel=True", {"per_channel": True}),
                ("U8S8", "per_channel=True, activation_type=QUInt8", {"per_channel": True, "unsigned": True}),
                ("entropy", "calibrate_method=Entropy", {"entropy": True}),
                (
                    "reduced",
                    "per_channel=True, reduce_range=True",
                    {"per_channel": True, "reduce_range": True},
                ),
            )
        ),
        ("dynamic", "quantize_dynamic(...)", Step("onnxruntime:dynamic")),
        (
            "dyn. MatMul",
            'quantize_dynamic(..., op_types_to_quantize=["MatMul"])',
            Step("onnxruntime:dynamic", {"operators": ["MatMul"]}),
        ),
    ):
        yield Rival(name, command, ORT, "onnxruntime", step, IN_ORT, "onnxruntime")


def aimet() -> Iterator[Rival]:
    """Yield AIMET, alone and with each of its methods."""
    for name, more, options in (
        ("AIMET", "", {}),
        ("AIMET CLE", "equalize_model(model), ", {"equalize": True}),
        ("AIMET SeqMSE", "apply_seq_mse(sim, inputs), ", {"search_scales": True}),
        ("AIMET AdaRd.", "apply_adaround(sim, inputs), ", {"round_weights": True}),
    ):
        call = f"aimet_onnx: {more}QuantizationSimModel(model), to_onnx_qdq()"
        yield of_onnx(name, call, AIMET, Step("aimet:quantize", options), "aimet-onnx")


def quark() -> Iterator[Rival]:
    """Yield AMD Quark by its configurations for CPUs."""
    for name, config in (
        ("Quark CNN", "INT8_CNN_DEFAULT"),
        ("Quark S8S8", "S8S8_AAWS"),
        ("Quark AdaRd.", "S8S8_AAWS_ADAROUND"),
    ):
        call = f'quark.onnx: ModelQuantizer(QConfig.get_default_config("{config}"))'
        yield of_onnx(name, call, QUARK, Step("quark:quantize", {"config": config}), "amd-quark")


def modelopt() -> Iterator[Rival]:
    """Yield NVIDIA ModelOpt with its defaults, and with what suits CPUs better."""
    options: dict[str, Any]
    for name, more, options in (
        ("ModelOpt", "", {}),
        ("ModelOpt f32", ', high_precision_dtype="fp32"', {"float_type": "fp32"}),
        (
            "ModelOpt max",
            ', high_precision_dtype="fp32", calibration_method="max"',
            {"float_type": "fp32", "calibration_method": "max"},
        ),
    ):
        call = f'modelopt.onnx.quantization.quantize(..., quantize_mode="int8"{more})'
        yield of_onnx(name, call, MODELOPT, Step("modelopt:quantize", options), "nvidia-modelopt")


def olive() -> Iterator[Rival]:
    """Yield Olive with its pass for images, and without any."""
    for name, call, function in (
        ("Olive", "olive run, with the pass OnnxStaticQuantization", "static"),
        ("Olive dynamic", "olive quantize --precision int8 --implementation ort", "dynamic"),
    ):
        yield of_onnx(name, call, OLIVE, Step(f"olive:{function}"), "olive-ai")


def optimum() -> Iterator[Rival]:
    """Yield optimum-intel, which is NNCF with a configuration of its own."""
    for name, run in (("optimum", IN_OPENVINO), ("optimum f32", IN_OPENVINO_F32)):
        yield Rival(
            name,
            "OVQuantizer.quantize(..., OVQuantizationConfig())"
            + (", hint f32" if run is IN_OPENVINO_F32 else ""),
            "https://huggingface.co/docs/optimum-intel/openvino/optimization",
            "openvino",
            Step("optimum_intel:quantize"),
            run,
            "optimum-intel",
            environment="optimum_intel",
        )


def of_onnx(name: str, command: str, source: str, make: Step, package: str) -> Rival:
    """Return a rival that writes ONNX in the environment that is called as its module."""
    environment = make.function.partition(":")[0]
    return Rival(name, command, source, "onnxruntime", make, IN_ORT, package, environment)


RIVALS = (
    *pytorch(),
    *inductor(),
    *openvino(),
    *nncf(),
    *optimum(),
    *onnxruntime(),
    *aimet(),
    *quark(),
    *modelopt(),
    *olive(),
)


def find_rivals(names: Sequence[str]) -> list[Rival]:
    """Return the rivals of these names, or all where none is named.

    A name may be that of several, as the "fp32" of two runtimes. Raises UsageError for one that is none.
    """
    known = dict.fromkeys(rival.name for rival in RIVALS)
    for name in names:
        if name not in known:
            raise UsageError(
                f"{name!r} is no rival", hint=f"{nearest(name, known)}Known are: {', '.join(known)}."
            )
    return [rival for rival in RIVALS if not names or rival.name in names]
