"""The folder of `--lang triton`: a model repository for NVIDIA Triton Inference Server, and a client."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.embed.bundle import LABELS
from convnext_edge.commands.embed.servers import (
    SOURCES,
    UNVERIFIED,
    Served,
    Tensor,
    datatype,
    lay_out,
    write_papers,
)
from convnext_edge.commands.embed.steps import Steps
from convnext_edge.errors import UsageError
from convnext_edge.targets.kernels import Kernels

# The configuration is complete; without the option, Triton may change `max_batch_size`.
SERVE = "tritonserver --model-repository=models --disable-auto-complete-config"
MAX_BATCH = 8


@dataclass(frozen=True)
class Backend:
    """A backend of Triton's. The file of its name in our sources has what README.md says of it."""

    name: str
    kind: str  # of the instances
    batches: bool = True  # whether Triton may join requests to a batch
    parameters: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""  # how its answers may differ from ours


NO_PRECISION = (
    "Triton's OpenVINO backend cannot be told to compute in FP32: on a CPU with bfloat16, OpenVINO takes that"
    " for the float layers, and answers are further from those that `validate` measured; an engine for"
    " onnxruntime, or --lang ovms, keeps FP32"
)
# By target. Facts of the backend for OpenVINO are from its sources, triton-inference-server/openvino_backend
# in August 2026 (`ModelState::ParseParameters`, `ov::set_batch`).
BACKENDS: dict[str, Backend] = {
    "openvino": Backend(
        "openvino",
        "KIND_CPU",
        batches=False,
        parameters={"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"},
        warning=NO_PRECISION,
    ),
    "onnxruntime": Backend("onnxruntime", "KIND_CPU"),
    "tensorrt": Backend("tensorrt", "KIND_GPU"),
}


def write_triton(engine: Artifact, labels: Path | None, folder: Path, kernels: Kernels) -> Steps:
    """Fill the empty `folder`, and return how it is served.

    Raises UsageError for an engine that Triton has no backend for, or a wrong number of labels.
    """
    backend = find_backend(engine)
    served = lay_out(engine, labels, folder)
    most = max_batch(engine) if backend.batches else 0
    text = config(served, backend, most)
    (served.folder / "config.pbtxt").write_text(text, encoding="utf-8", newline="\n")
    version = str((engine.description.engine or {}).get("version", "unknown"))
    notes = (SOURCES / "triton" / f"{backend.name}.md").read_text(encoding="utf-8").rstrip()
    notes = Template(notes).substitute(version=version, max_batch=most)
    write_papers(served, folder, "triton", kernels, serve=SERVE, backend=backend.name, notes=notes)
    warnings = (backend.warning,) if backend.warning else ()
    return Steps(SERVE, unverified=UNVERIFIED, warnings=warnings)


def find_backend(engine: Artifact) -> Backend:
    """Return the backend for an engine; raise UsageError where Triton has none that would answer as we do."""
    target = str(engine.description.target)
    if target not in BACKENDS:
        raise UsageError(
            f"{engine.path} is an engine for {target}, which Triton does not run",
            hint=f"Build one for {' or '.join(BACKENDS)}: convnext-edge build --target NAME",
        )
    if target == "onnxruntime" and engine.description.weights_only:
        raise UsageError(
            f"{engine.path} quantizes weights alone: Triton's backend cannot keep ONNX Runtime from"
            " quantizing activations as well, which would change the answers",
            hint="Take INT8 weights and activations, FP32, or openvino.",
        )
    return BACKENDS[target]


def max_batch(engine: Artifact) -> int:
    """Return the most images of a batch."""
    return int((engine.description.engine or {}).get("max_batch") or MAX_BATCH)


def config(served: Served, backend: Backend, most: int) -> str:
    """Return the text of config.pbtxt. most: images of a batch; 0 where Triton joins no requests.

    Where it does, the first axis is not in the shapes.
    """
    free = () if most else (-1,)
    labels = {"label_filename": quoted(LABELS)} if served.has_labels else {}
    outputs = [
        tensor(output, "TYPE_FP32", free, labels if number == 0 else {})
        for number, output in enumerate(served.outputs)
    ]
    parts = [
        f"name: {quoted(served.name)}",
        f"backend: {quoted(backend.name)}",
        f"default_model_filename: {quoted(served.engine.path.name)}",
        f"max_batch_size: {most}",
        listed("input", [tensor(served.image, datatype(served.engine), free, {})]),
        listed("output", outputs),
        f"instance_group [\n  {{ count: 1 kind: {backend.kind} }}\n]",
        *(["dynamic_batching { }"] if most else []),
        *(
            f"parameters {{ key: {quoted(key)} value: {{ string_value: {quoted(value)} }} }}"
            for key, value in backend.parameters.items()
        ),
    ]
    return "\n".join(parts) + "\n"


def tensor(found: Tensor, kind: str, free: tuple[int, ...], more: Mapping[str, str]) -> str:
    """Return an input or output as text of protobuf. free: the axes before its own."""
    values = {
        "name": quoted(found.name),
        "data_type": kind,
        "dims": f"[ {', '.join(map(str, (*free, *found.dims)))} ]",
        **more,
    }
    return "{ " + " ".join(f"{key}: {value}" for key, value in values.items()) + " }"


def listed(name: str, items: Sequence[str]) -> str:
    """Return a repeated field."""
    return f"{name} [\n" + ",\n".join(f"  {item}" for item in items) + "\n]"


def quoted(text: str) -> str:
    """Return a string of protobuf's text format, which reads JSON's escapes and UTF-8."""
    return json.dumps(text, ensure_ascii=False)
