"""The command `compare`: several methods on several targets, quantized, built, validated and timed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.contest import FP32, RECIPE, Contest
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.early import check_images, check_start, check_threads
from convnext_edge.commands.options import (
    Calib,
    ClassesFile,
    ClassOrderOption,
    Data,
    DataRoot,
    DeviceRunner,
    Limit,
    Model,
    OnDevice,
    Runs,
    Samples,
    Seed,
    WorkspaceFolder,
)
from convnext_edge.commands.quantize.methods import METHODS
from convnext_edge.commands.race import Asked, race, tables
from convnext_edge.commands.result import Result
from convnext_edge.commands.rows import (
    LEGENDS,
    Figure,
    Row,
    figures_of,
    place_of,
    speedup_of,
    task_of,
)
from convnext_edge.commands.text import command_line, digits, fold, size_of, table
from convnext_edge.devices.address import Where
from convnext_edge.errors import ConvNeXtEdgeError, RecipeError, TargetError, UsageError, nearest
from convnext_edge.paths import AnyPath
from convnext_edge.progress import doing, note
from convnext_edge.quantization.recipe import Recipe, read_recipe
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import ON_CPUS, check_target, find_target

if TYPE_CHECKING:
    from convnext_edge.rivals.rows import RivalRow


@dataclass(frozen=True)
class Refusal(Result):
    """A method that a target refuses."""

    method: str
    target: str
    reason: str


@dataclass(frozen=True)
class Compare(Result):
    """The engines that were made, and what `validate` and `benchmark` say of them."""

    # the keys of `Validate` and `Benchmark` together (None where nothing was measured), and `method`,
    # `target`, `model`, `file`, `sha256`, `bytes`, `precision`, and `changes` of the target's recipe
    rows: tuple[Row, ...]
    refused: tuple[Refusal, ...]
    seconds: float
    rivals: tuple[RivalRow, ...] = ()  # with --rivals: engines of ours and rivals, timed in one run

    def table_rows(self) -> list[Row]:
        """Return a row for each engine."""
        return list(self.rows)

    def summary(self) -> str:
        """Return a table with a line for each engine."""
        figures = figures_of(self.rows)
        titles = (figure.title for figure in figures)
        header = ("target", "method", *titles, "SQNR", self._timed, "size")
        first, legend = self.rows[0], LEGENDS.get(task_of(self.rows))
        images = f"{first['images']} images of {Path(first['data']).name}"
        return (
            table([header, *(cells(row, figures) for row in self.rows)])
            + f"\n{images}, {self._measured(first)}, {self.seconds:.0f} s"
            + (f"\n{fold(legend)}" if legend else "")
            + self._doubts()
            + "".join(f"\n{fold(f'{r.method} on {r.target} is refused: {r.reason}')}" for r in self.refused)
            + (f"\n\n{tables(self.rivals)}" if self.rivals else "")
        )

    def next_command(self) -> str:
        """Return what shows all results of the workspace."""
        return command_line("report")

    @property
    def _timed(self) -> str:
        return "p50" if place_of(self.rows[0]) else "speedup"

    def _measured(self, row: Row) -> str:
        there = place_of(row)
        return f"on {there}" if there else "speedup against FP32 PyTorch"

    def _doubts(self) -> str:
        """Return why a speedup is not to be relied on."""
        doubts = sorted({row["doubt"] for row in self.rows if row["doubt"]})
        return f"\n{fold('? NOT to be relied on: ' + '; '.join(doubts))}" if doubts else ""


def cells(row: Row, figures: Sequence[Figure]) -> tuple[str, ...]:
    """Return one line of the table. figures: what it shows of the task."""
    return (
        row["target"],
        Path(row["method"]).name,
        *(figure.text(row) for figure in figures),
        "exact" if row["sqnr_db"] is None else f"{digits(row['sqnr_db'])} dB",
        timed(row),
        size_of(row["bytes"]),
    )


def timed(row: Row) -> str:
    """Return the speedup of a row; of one from a device, the median latency."""
    if row["candidate_ms"] is None:
        return "unknown"
    if row["speedup"] is not None:
        return speedup_of(row)
    return f"{row['candidate_ms']['p50']:.2f} ms" + ("" if row["reliable"] else " ?")


@command(example="convnext-edge compare --calib demo --data demo")
def compare(
    model: Model = None,
    *,
    calib: Calib,
    samples: Samples = None,
    data: Data,
    limit: Limit = None,
    targets: Annotated[
        Sequence[str],
        Option("Runtimes to try.  [default: openvino,onnxruntime]", metavar="NAME,...", separated=True),
    ] = (),
    methods: Annotated[
        Sequence[AnyPath],
        Option(
            "fp32, ptq, nncf, ort, or files of recipes (.toml).  [default: all four; with rivals, ptq]",
            metavar="NAME,...",
            separated=True,
        ),
    ] = (),
    on: OnDevice = None,
    runner: DeviceRunner = None,
    threads: Annotated[int, Option("Threads of the timed calls.", at_least=1)] = 1,
    runs: Runs = 50,
    rivals: Annotated[bool, Option("Let other libraries quantize and run it, too: docs/rivals.md.")] = False,
    only_rivals: Annotated[
        Sequence[str],
        Option("These rivals alone, with or without --rivals.", metavar="NAME,...", separated=True),
    ] = (),
    rival_environments: Annotated[
        AnyPath, Option("Folder of what `make rivals` made.", metavar="DIR", folder=True)
    ] = "build/rivals",
    rival_minutes: Annotated[int, Option("Longest time that a step of a rival may take.", at_least=1)] = 30,
    class_order: ClassOrderOption = None,
    classes: ClassesFile = None,
    data_root: DataRoot = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Compare:
    """Try several methods on several runtimes, from MODEL (default: the newest).

    model: an artifact of export. methods: by default all whose packages are here. Engines and results stay in
    the workspace, where `report` finds them. A pair that a target refuses is in `refused`, and the others go
    on; where all are, the first error is raised. With `on`, engines are made for the device, and run there.
    rivals: other libraries, each in a process of its own, timed in turns with our engines; methods is then
    ptq by default. A rival that fails is a row that says how.
    Raises ArtifactError, DeviceError, ImageSetError, QuantizationError, RecipeError, TargetError, UsageError.
    """
    asked = Asked(rivals or bool(only_rivals), only_rivals, rival_environments, rival_minutes)
    asked.check(on)
    chosen = check_methods([os.fspath(method) for method in methods] or ["ptq"] * asked.rivals)
    for name in targets:
        check_target(name)
    where = Where.parse(on, runner)
    if where is None:
        check_threads(threads)
    space = Workspace.at(workspace)
    check_start(model, None, space)
    check_images(calib, data, data_root=data_root)
    with importing():
        from convnext_edge.devices.session import machine_there
        from convnext_edge.quantization.start import find_start

    started = time.perf_counter()
    wanted = [find_target(name).name for name in targets or ON_CPUS]
    found = asked.check_task(find_start(model, None, workspace=space, seed=seed))
    start = found.artifact
    contest = Contest(
        model=start.path,
        stem=start.description.stem,
        calib=calib,
        samples=samples,
        data=data,
        limit=limit,
        threads=threads,
        runs=runs,
        class_order=class_order,
        classes=classes,
        data_root=data_root,
        workspace=space.folder,
        seed=seed,
        on=on,
        runner=runner,
        machine=machine_there(where) if where else None,
    )
    rows, refused = run_all(contest, [(method, target) for target in wanted for method in chosen])
    raced = race(contest, found, rows, asked)
    return Compare(tuple(rows), tuple(refused), round(time.perf_counter() - started, 1), raced)


def check_methods(methods: Sequence[str]) -> list[str]:
    """Return the methods to compare, each once.

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
                hint=f"{nearest(method, (FP32, *METHODS))}"
                f"Take {FP32}, {', '.join(METHODS)}, or the file of a recipe (.toml).",
            )
    chosen = list(dict.fromkeys(methods))
    check_recipes([method for method in chosen if method.endswith(RECIPE)])
    return chosen


def check_recipes(files: Sequence[str]) -> None:
    """Raise RecipeError for a file that is no recipe, UsageError for two of one name."""
    named: dict[str, str] = {}
    for file in files:
        read_recipe(Path(file), Recipe())
        other = named.setdefault(Path(file).stem, file)
        if other != file:
            raise UsageError(
                f"{other} and {file} have one name, and so would their engines", hint="Rename one of the two."
            )


def run_all(contest: Contest, pairs: Sequence[tuple[str, str]]) -> tuple[list[Row], list[Refusal]]:
    """Run every pair of method and target; raise the first error where every pair is refused."""
    rows: list[Row] = []
    refusals: list[Refusal] = []
    errors: list[ConvNeXtEdgeError] = []
    for number, (method, target) in enumerate(pairs, 1):
        doing(f"{number} of {len(pairs)}: {method} on {target}")
        try:
            rows.append(contest.run(method, target))
        except (RecipeError, TargetError, UsageError) as error:
            note(f"{method} on {target} is refused: {error.message}")
            refusals.append(Refusal(method, target, error.message))
            errors.append(error)
    if not rows:
        raise errors[0]
    return rows, refusals
