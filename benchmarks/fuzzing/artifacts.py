"""Sidecars, kept results and graphs of ours: what they hold when they are sound, and what reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.fuzzing import checkpoints, graphs
from convnext_edge.artifacts.artifact import Artifact, Calibration, Description, Link
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.artifacts.workspace import Workspace, file_name
from convnext_edge.checkpoints.kept_weights import open_source
from convnext_edge.commands.embed.bundle import manifest_lines, read_labels
from convnext_edge.commands.report.command import report
from convnext_edge.commands.validate.result import Validate
from convnext_edge.cpu import read_cpu
from convnext_edge.errors import ConvNeXtEdgeError
from convnext_edge.evaluation.records import model_columns
from convnext_edge.images.noise import noise
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.targets.kernels import Kernels
from convnext_edge.targets.registry import find_target

PREPROCESSING = Preprocessing(resolution=graphs.RESOLUTION)
DIGEST = "0" * 64


def each(*attempts: Callable[[], object]) -> None:
    """Call all, even where an earlier one is refused."""
    for attempt in attempts:
        with suppress(ConvNeXtEdgeError):
            attempt()


def description(kind: Any = "onnx") -> Description:
    """Return what a sidecar says of the small model."""
    return Description(
        kind=kind,
        stem="small",
        variant=None,
        architecture=replace(checkpoints.SMALL, classes=graphs.CLASSES),
        preprocessing=PREPROCESSING,
        precision="int8",
        target="openvino",
        method="ptq",
        recipe=Recipe().to_json(),
        calibration=Calibration("set", 3, DIGEST),
        calibration_hashes=(DIGEST[:16],),
        quantized_layers=("stem",),
        float_layers=("head",),
        classes=("cat", "dog", "cow"),
        engine={"runtime": "openvino", "version": "1"},
        weights=Link("small.safetensors", DIGEST),
        parent=Link("small.onnx", DIGEST),
    )


def writing(content: bytes) -> Callable[[Path], None]:
    """Return what writes a file of that content, for `write_artifact`."""

    def write(file: Path) -> None:
        file.write_bytes(content)

    return write


def sidecar() -> Any:
    """Return the JSON of a sidecar of the file `model.onnx`, which holds nothing."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_artifact(path, description(), writing(b""))
        return json.loads(path.with_name("model.onnx.json").read_text(encoding="utf-8"))


def use_artifact(artifact: Artifact, workspace: Workspace) -> None:
    """Do with a description what commands do."""
    each(
        lambda: file_name(artifact.description, ".onnx"),
        lambda: model_columns(artifact),
        lambda: manifest_lines(artifact, {}, Kernels(None, None)),
        lambda: read_labels(artifact, None),
        lambda: open_source(artifact, workspace),
    )


def read_sidecars(folder: Path) -> None:
    """Find the artifact of a workspace, and use what its sidecar says."""
    workspace = Workspace(folder)
    artifact = open_artifact(folder / "model.onnx")
    use_artifact(artifact, workspace)
    workspace.choose(None, lambda found: found.kind == "onnx", what="model", command="export")


def record() -> Any:
    """Return the JSON of a kept result of `validate`."""
    checked = Validate(
        artifact=Path("small.onnx"), target="openvino", data="set", images=3, reference_top1=0.5,
        candidate_top1=0.5, reference_top5=1.0, candidate_top5=1.0, drop_points=0.1,
        drop_ci95_points=(0.0, 0.2), agreement=1.0, agreement_ci95=(0.5, 1.0), sqnr_db=30.0, overlap=0,
        skipped_images=("1.png",), simulated=False, passed=True,
    )  # fmt: skip
    model = {
        "model": "small", "file": "small.onnx", "sha256": DIGEST, "bytes": 3, "method": "ptq",
        "precision": "int8", "changes": {"range": "minmax"},
    }  # fmt: skip
    return {
        "format": 1,
        "kind": "validate",
        "date": "2026-01-01T00:00:00+00:00",
        "command": "convnext-edge validate",
        "tools": {"numpy": "2"},
        "cpu": asdict(read_cpu()),
        "model": model,
        "result": json.loads(json.dumps(checked.to_json())),
    }


def read_results(folder: Path) -> None:
    """Show what a workspace keeps."""
    report(workspace=folder, output=folder / "page.html")


def read_graph(path: Path, target: str, suffix: str) -> None:
    """Build an engine of an ONNX file with a right sidecar, and run both."""
    chosen = find_target(target)
    signed = path.with_name("signed.onnx")
    artifact = write_artifact(signed, description(), writing(path.read_bytes()))
    engine = path.with_name(f"engine{suffix}")
    images = noise((3, graphs.RESOLUTION, graphs.RESOLUTION), "float32", batch=2, seed=0)

    def run(found: Artifact) -> None:
        with chosen.open_session(found) as session:
            session.run(images)

    each(
        lambda: run(artifact),
        lambda: run(write_artifact(engine, description("engine"), lambda file: chosen.build(path, file))),
    )


def read_class_names(path: Path) -> None:
    """Read the labels of an embedded engine."""
    artifact = Artifact(path, description("engine"), {path.name: DIGEST})
    read_labels(artifact, path)
