"""What each command returns: the object that `--json` prints.

base          what all of them have in common
start         of the commands to start with: variants, doctor, demo
models        of those that make or look into ONNX models: export, quantize, finetune, sensitivity
engines       of those that carry a model to a device: build, embed
measurements  of those that measure: validate, benchmark, compare, report
"""

from convnext_edge.results.base import Result
from convnext_edge.results.engines import Build, BuildScript, Embed
from convnext_edge.results.measurements import Benchmark, Compare, Milliseconds, Refusal, Report, Validate
from convnext_edge.results.models import Export, Finetune, LayerRow, Quantize, Sensitivity
from convnext_edge.results.start import CpuRow, Demo, DemoRow, Doctor, TargetRow, VariantRow, Variants

__all__ = [
    "Benchmark",
    "Build",
    "BuildScript",
    "Compare",
    "CpuRow",
    "Demo",
    "DemoRow",
    "Doctor",
    "Embed",
    "Export",
    "Finetune",
    "LayerRow",
    "Milliseconds",
    "Quantize",
    "Refusal",
    "Report",
    "Result",
    "Sensitivity",
    "TargetRow",
    "Validate",
    "VariantRow",
    "Variants",
]
