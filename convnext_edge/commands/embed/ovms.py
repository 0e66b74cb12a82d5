"""The folder of `--lang ovms`: a model repository and config.json for OpenVINO Model Server, and a client."""

from __future__ import annotations

import json
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.metadata import OPENVINO_OPTIONS
from convnext_edge.commands.embed.servers import UNVERIFIED, Served, lay_out, write_papers
from convnext_edge.commands.embed.steps import Steps
from convnext_edge.errors import UsageError
from convnext_edge.targets.kernels import Kernels

TARGET = "openvino"
CONFIG = "config.json"
SERVE = f"ovms --config_path {CONFIG} --rest_port 8000"


def write_ovms(engine: Artifact, labels: Path | None, folder: Path, kernels: Kernels) -> Steps:
    """Fill the empty `folder`, and return how it is served.

    Raises UsageError for an engine of another runtime, or a wrong number of labels.
    """
    target = engine.description.target
    if target != TARGET:
        raise UsageError(
            f"{engine.path} is an engine for {target}, OpenVINO Model Server runs those for {TARGET}",
            hint=f"Make one: convnext-edge quantize, then build, with --target {TARGET}.",
        )
    served = lay_out(engine, labels, folder)
    text = json.dumps(config(served), indent=2, ensure_ascii=False)
    (folder / CONFIG).write_text(f"{text}\n", encoding="utf-8", newline="\n")
    version = str((engine.description.engine or {}).get("version", "unknown"))
    write_papers(served, folder, "ovms", kernels, serve=SERVE, version=version)
    return Steps(SERVE, unverified=UNVERIFIED)


def config(served: Served) -> dict[str, object]:
    """Return the values of config.json.

    The path of the model is relative to the file. Requests have any number of images, as the engine
    takes any.
    """
    model = {
        "name": served.name,
        "base_path": f"models/{served.name}",
        "target_device": "CPU",
        "plugin_config": {**OPENVINO_OPTIONS, "PERFORMANCE_HINT": "THROUGHPUT"},
    }
    return {"model_config_list": [{"config": model}]}
