"""compare: several methods on several targets in one table: each quantized, built, validated and timed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark import benchmark
from convnext_edge.commands.build import build
from convnext_edge.commands.quantize import METHODS, quantize
from convnext_edge.commands.validate import validate
from convnext_edge.errors import ConvNeXtEdgeError, RecipeError, TargetError, UsageError
from convnext_edge.evaluation.records import Row, describe, make_row
from convnext_edge.evaluation.timing import check_threads
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import note
from convnext_edge.quantization.recipe import Recipe, read_recipe
from convnext_edge.quantization.start import find_start
from convnext_edge.results import Compare, Refusal
from convnext_edge.targets.registry import find_target

FP32 = "fp32"
RECIPE = ".toml"
TARGETS = ("openvino", "onnxruntime")


def compare(
    model: AnyPath | None = None,
    *,
    calib: AnyPath,
    data: AnyPath,
    targets: Sequence[str] = (),
    methods: Sequence[AnyPath] = (),
    samples: int | None = None,
    limit: int | None = None,
    threads: int | None = None,
    runs: int = 50,
    data_root: AnyPath | None = None,
    workspace: AnyPath | None = None,
    seed: int = 0,
) -> Compare:
    """Make an engine by each method for each target; validate and time it.

    model: an artifact of export, by default the newest. methods: `fp32`, those of `quantize`, and files of
    recipes (.toml); by default fp32 and all methods whose packages are here. targets: by default OpenVINO
    and ONNX Runtime. calib, samples: as of `quantize`; data, limit: of `validate`; threads, runs: of
    `benchmark`.
    Engines and results stay in the workspace, where `report` finds them. A pair that a target refuses is in
    `refused`, and the others go on; where all are, the first error is raised.
    Raises ArtifactError, ImageSetError, QuantizationError, RecipeError, TargetError, UsageError.
    """
    model, data_root = as_path(model), as_path(data_root)
    started = time.perf_counter()
    chosen = check_methods([os.fspath(method) for method in methods])
    check_threads(threads)
    wanted = [find_target(name).name for name in targets or TARGETS]
    place = Workspace.at(workspace)
    start = find_start(model, None, place, seed)
    images: dict[str, Any] = {"data_root": data_root, "seed": seed}
    trial = Trial(
        start=start,
        workspace=place,
        quantizing={"calib": calib, "samples": samples, **images},
        validating={"data": data, "limit": limit, **images},
        timing={"threads": threads, "runs": runs},
    )
    rows, refused = run_all(trial, [(method, target) for target in wanted for method in chosen])
    return Compare(tuple(rows), tuple(refused), round(time.perf_counter() - started, 1))


def check_methods(methods: Sequence[str]) -> list[str]:
    """The methods to compare, each once.

    Raises UsageError for one that is none, and for recipes of one name: so are their engines called.
    RecipeError for a file that is no recipe: what is wrong for any target is said before hours of work.
    """
    if not methods:
        missing = {"nncf"} if util.find_spec("nncf") is None else set()
        for name in missing:
            note(f"leaving method {name} out: its package is not installed")
        return [FP32, *(method for method in METHODS if method not in missing)]
    for method in methods:
        if method not in (FP32, *METHODS) and not method.endswith(RECIPE):
            raise UsageError(
                f"{method!r} is no method",
                hint=f"Take {FP32}, {', '.join(METHODS)}, or the file of a recipe (.toml).",
            )
    chosen = list(dict.fromkeys(methods))
    check_recipes([method for method in chosen if method.endswith(RECIPE)])
    return chosen


def check_recipes(files: Sequence[str]) -> None:
    """Raises RecipeError for a file that is no recipe, UsageError for two of one name."""
    named: dict[str, str] = {}
    for file in files:
        read_recipe(Path(file), Recipe())
        other = named.setdefault(Path(file).stem, file)
        if other != file:
            raise UsageError(
                f"{other} and {file} have one name, and so would their engines", hint="Rename one of the two."
            )


def run_all(trial: Trial, pairs: Sequence[tuple[str, str]]) -> tuple[list[Row], list[Refusal]]:
    """Raises the first error where every pair is refused."""
    rows: list[Row] = []
    refusals: list[Refusal] = []
    errors: list[ConvNeXtEdgeError] = []
    for number, (method, target) in enumerate(pairs, 1):
        note(f"{number} of {len(pairs)}: {method} on {target}")
        try:
            rows.append(trial.run(method, target))
        except (RecipeError, TargetError, UsageError) as error:
            note(f"{method} on {target} is refused: {error.message}")
            refusals.append(Refusal(method, target, error.message))
            errors.append(error)
    if not rows:
        raise errors[0]
    return rows, refusals


@dataclass(frozen=True)
class Trial:
    """What all pairs share: the model, the workspace, and the options of the stages that they run through."""

    start: Artifact
    workspace: Workspace
    quantizing: dict[str, Any]
    validating: dict[str, Any]
    timing: dict[str, Any]

    def run(self, method: str, target: str) -> Row:
        """What is known of one engine; nothing of its latency where it is simulated."""
        engine = open_artifact(self.make_engine(method, target))
        checked = validate(engine.path, workspace=self.workspace.folder, **self.validating)
        timed = None
        if not checked.simulated:
            timed = benchmark(engine.path, workspace=self.workspace.folder, **self.timing)
        row = make_row(describe(engine), checked.to_json(), None if timed is None else timed.to_json())
        return {**row, "method": method}

    def make_engine(self, method: str, target: str) -> Path:
        folder, suffix = self.workspace.folder, find_target(target).suffix
        if method == FP32:
            return build(self.start.path, target=target, workspace=folder).engine
        how: dict[str, Any] = {"method": method}
        output: Path | None = None
        if method.endswith(RECIPE):  # under a name of its own, so that it replaces no other
            how = {"recipe": Path(method), "output": folder / f"{self._name(method, target)}.onnx"}
            output = folder / f"{self._name(method, target)}{suffix}"
        made = quantize(
            self.start.path, target=target, timing=False, workspace=folder, **how, **self.quantizing
        )
        return build(made.artifact, target=target, output=output, workspace=folder).engine

    def _name(self, recipe: str, target: str) -> str:
        """Not what `quantize` calls its files, though the recipe be called int8."""
        return f"{self.start.description.stem}-recipe-{Path(recipe).stem}-{target}"
