"""The function and the options of `compare`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.compare.contest import Contest
from convnext_edge.commands.compare.pairs import check_methods, run_all
from convnext_edge.commands.compare.race import Asked, race
from convnext_edge.commands.compare.result import Compare
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
from convnext_edge.devices.address import Where
from convnext_edge.paths import AnyPath
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import ON_CPUS, check_target, find_target

if TYPE_CHECKING:
    pass


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
