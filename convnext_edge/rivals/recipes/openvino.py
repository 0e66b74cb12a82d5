"""OpenVINO: the exported model as it is, and sessions with the options that its documentation begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino

from convnext_edge.rivals.rival import Call


def run(path: Path, threads: int, *, precision: str | None = None) -> Call:
    """Compile for one call at a time.

    precision: hint for what is left in float, "f32" or "bf16". None leaves it to the plugin: bf16 on CPUs
    that have it.
    """
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if precision is not None:
        options["INFERENCE_PRECISION_HINT"] = precision
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    request, output = compiled.create_infer_request(), compiled.output(0)
    return lambda images: np.array(request.infer({0: images})[output])
