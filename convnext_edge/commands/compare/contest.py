"""One pair of method and target of `compare`: quantized, built, validated and timed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.benchmark.command import benchmark
from convnext_edge.commands.build import build
from convnext_edge.commands.quantize.command import quantize
from convnext_edge.commands.quantize.methods import Method
from convnext_edge.commands.rows import Row, make_row
from convnext_edge.commands.validate.command import validate
from convnext_edge.cpu import Machine
from convnext_edge.images.contents import ClassOrder
from convnext_edge.paths import AnyPath
from convnext_edge.progress import note
from convnext_edge.targets.registry import find_target

FP32 = "fp32"
RECIPE = ".toml"


@dataclass(frozen=True)
class Work:
    """What all that are compared share: images, the settings of timing, and the place of files."""

    workspace: Path
    calib: AnyPath
    data: AnyPath
    samples: int | None = None
    limit: int | None = None
    class_order: ClassOrder | None = None
    classes: AnyPath | None = None
    data_root: AnyPath | None = None
    threads: int = 1
    runs: int = 50
    seed: int = 0
    # Of a grid: names of the CPUs that its cells run on, and threads of PyTorch, by whose number
    # sums are added up in another order.
    cpus: tuple[str, ...] = ()
    torch_threads: int = 1


@dataclass(frozen=True)
class Contest:
    """What all pairs of method and target share: the model, and options of the commands they go through."""

    model: Path  # the FP32 artifact that all start from
    stem: str  # what its files are called by
    work: Work
    on: str | None = None  # the device that engines are made for and run on
    runner: str | None = None
    machine: Machine | None = None  # the kind of the device
    seconds: dict[Path, float] = field(default_factory=dict)  # that making each engine took

    def run(self, method: str, target: str) -> Row:
        """Make an engine, and return what is known of it; nothing of its latency where it is simulated."""
        from convnext_edge.evaluation.records import model_columns

        started = time.perf_counter()
        engine = open_artifact(self.make_engine(method, target))
        self.seconds[engine.path] = round(time.perf_counter() - started, 3)
        checked = validate(
            engine.path,
            on=self.on,
            runner=self.runner,
            data=self.work.data,
            limit=self.work.limit,
            class_order=self.work.class_order,
            classes=self.work.classes,
            data_root=self.work.data_root,
            workspace=self.work.workspace,
            seed=self.work.seed,
        )
        timed: dict[str, Any] | None = None
        if not checked.simulated:
            found = benchmark(
                engine.path,
                on=self.on,
                runner=self.runner,
                threads=self.work.threads,
                runs=self.work.runs,
                workspace=self.work.workspace,
            )
            timed = found.to_json()
        row = make_row(model_columns(engine), checked.to_json(), timed)
        return {**row, "method": method}

    def make_engine(self, method: str, target: str) -> Path:
        """Quantize by the method and build; return the path of the engine."""
        chosen = find_target(target)
        machine = self.machine if chosen.takes_machine else None
        if method == FP32:
            return build(self.model, target=target, machine=machine, workspace=self.work.workspace).engine
        graph = output = recipe = None
        if method.endswith(RECIPE):  # under a name of its own, so that it replaces no other
            # not what `quantize` calls its files, though the recipe be called int8
            name = f"{self.stem}-recipe-{Path(method).stem}-{target}"
            graph, output = (self.work.workspace / f"{name}{end}" for end in (".onnx", chosen.suffix))
            recipe, method = Path(method), "ptq"
        made = quantize(
            self.model,
            calib=self.work.calib,
            samples=self.work.samples,
            target=target,
            method=cast(Method, method),
            machine=machine,
            recipe=recipe,
            timing=False,
            data_root=self.work.data_root,
            output=graph,
            workspace=self.work.workspace,
            seed=self.work.seed,
        )
        for warning in made.warnings:
            note(f"WARNING: {warning}")
        built = build(
            made.artifact, target=target, machine=machine, output=output, workspace=self.work.workspace
        )
        return built.engine
