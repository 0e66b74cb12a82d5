"""The function and the options of `compare`."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.compare.contest import Contest, Work
from convnext_edge.commands.compare.grid.begin import (
    check_by_themselves,
    check_told_once,
    compare_file,
    compare_options,
)
from convnext_edge.commands.compare.grid.cluster import check_address
from convnext_edge.commands.compare.pairs import check_methods, run_all
from convnext_edge.commands.compare.race import Asked, race
from convnext_edge.commands.compare.result import Compare
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.early import check_images, check_start, check_threads
from convnext_edge.commands.options import (
    ClassesFile,
    ClassOrderOption,
    DataRoot,
    DeviceRunner,
    Limit,
    Model,
    OnDevice,
    Samples,
    WorkspaceFolder,
)
from convnext_edge.devices.address import Where
from convnext_edge.errors import UsageError
from convnext_edge.images.definitions import set_names
from convnext_edge.paths import AnyPath
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import ON_CPUS, check_target


@command(example="convnext-edge compare --calib demo --data demo")
def compare(
    model: Model = None,
    *,
    grid: Annotated[
        AnyPath | None,
        Option("TOML file of models, methods, targets and images, in place of these."),
    ] = None,
    ray: Annotated[
        str | None,
        Option("Let workers of Ray do it: those of a cluster, or here.", metavar="ADDRESS|local[:N]"),
    ] = None,
    calib: Annotated[
        AnyPath | None,
        Option("Images to take activation ranges from.", metavar="NAME|PATH", completions=set_names),
    ] = None,
    samples: Samples = None,
    data: Annotated[
        AnyPath | None, Option("Images to compare on.", metavar="NAME|PATH", completions=set_names)
    ] = None,
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
    threads: Annotated[int | None, Option("Threads of the timed calls.  [default: 1]", at_least=1)] = None,
    runs: Annotated[
        int | None, Option("Number of timed calls of each model.  [default: 50]", at_least=1)
    ] = None,
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
    seed: Annotated[
        int | None, Option("Seed of everything that is random.  [default: 0]", at_least=0, at_most=2**32 - 1)
    ] = None,
) -> Compare:
    """Try several methods on several runtimes, from MODEL (default: the newest).

    model: an artifact of export. methods: by default all whose packages are here. Engines and results stay in
    the workspace, where `report` finds them. A pair that a target refuses is in `refused`, and the others go
    on; where all are, the first error is raised. With `on`, engines are made for the device, and run there.
    rivals: other libraries, each in a process of its own, timed in turns with our engines; methods is then
    ptq by default. A rival that fails is a row that says how.
    grid: tells models, methods, targets, images and timing in place of all other options but data_root,
    workspace and ray. With grid or ray, the result is a `GridCompare`: what is done of each cell is kept, a
    second run goes on from there, and a cell that fails is a row that says why.
    Raises ArtifactError, DeviceError, ImageSetError, QuantizationError, RecipeError, TargetError, UsageError.
    """
    asked = Asked(rivals or bool(only_rivals), only_rivals, rival_environments, rival_minutes)
    asked.check(on)
    if ray is not None:
        check_address(ray)
    if grid is not None or ray is not None:
        check_by_themselves({"--on": on, "--runner": runner, "--rivals": asked.rivals})
    if grid is not None:
        told = {"MODEL": model, "--calib": calib, "--samples": samples, "--data": data, "--limit": limit,
                "--targets": targets, "--methods": methods, "--threads": threads, "--runs": runs,
                "--class-order": class_order, "--classes": classes, "--seed": seed}  # fmt: skip
        check_told_once(told, Path(grid))
        return compare_file(Path(grid), ray, Workspace.at(workspace), data_root)
    if calib is None or data is None:
        missing = "--calib" if calib is None else "--data"
        raise UsageError(f"{missing} is missing", hint="Name the images, or a --grid that does.")
    space = Workspace.at(workspace)
    work = Work(space.folder, calib, data, samples, limit, class_order, classes, data_root,
                threads or 1, runs or 50, seed or 0)  # fmt: skip
    chosen = check_methods([os.fspath(method) for method in methods] or ["ptq"] * asked.rivals)
    for name in targets:
        check_target(name)
    where = Where.parse(on, runner)
    check_early(model, work, space, timed_here=where is None)
    if ray is not None:
        return compare_options(model, chosen, targets or ON_CPUS, work, ray)
    return compare_pairs(model, work, chosen, targets or ON_CPUS, asked, where)


def check_early(model: AnyPath | None, work: Work, space: Workspace, *, timed_here: bool) -> None:
    """Raise what a look at the options and at the disk tells."""
    if timed_here:
        check_threads(work.threads)
    check_start(model, None, space)
    check_images(work.calib, work.data, data_root=work.data_root)


def compare_pairs(
    model: AnyPath | None,
    work: Work,
    methods: Sequence[str],
    targets: Sequence[str],
    asked: Asked,
    where: Where | None,
) -> Compare:
    """Run all pairs of method and target of one model, and rivals beside them."""
    with importing():
        from convnext_edge.devices.session import machine_there
        from convnext_edge.quantization.start import find_start

    began, space = time.perf_counter(), Workspace(work.workspace)
    found = asked.check_task(find_start(model, None, workspace=space, seed=work.seed))
    start = found.artifact
    contest = Contest(
        model=start.path,
        stem=start.description.stem,
        work=work,
        on=where.url if where else None,
        runner=shlex.join(where.runner) if where and where.runner else None,
        machine=machine_there(where) if where else None,
    )
    rows, refused = run_all(contest, [(method, target) for target in targets for method in methods])
    raced = race(contest, found, rows, asked)
    return Compare(tuple(rows), tuple(refused), round(time.perf_counter() - began, 1), raced)
