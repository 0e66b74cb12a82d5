"""The workspace: the folder that artifacts go to and are found in when none is named."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.failed import announce_failings
from convnext_edge.artifacts.files import remove_begun, settle, settle_temporary
from convnext_edge.artifacts.names import check_new
from convnext_edge.artifacts.opsets import USUAL
from convnext_edge.artifacts.sidecar import read_sidecar, sidecar_path
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.cpu import Machine
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.paths import AnyPath
from convnext_edge.progress import note

VARIABLE = "CONVNEXT_EDGE_WORKSPACE"
DEFAULT = "convnext-edge-out"
EXPORTED = "exported model"
EXPORT = "convnext-edge export FILE (or --variant NAME)"
AHEAD = 60.0  # seconds by which the clock of another machine may differ
USUAL_MACHINE: Machine = "x86-64"  # names of files tell another


@dataclass(frozen=True)
class Workspace:
    """A folder of artifacts, which is made when the first of them is written."""

    folder: Path

    @classmethod
    def at(cls, folder: AnyPath | None) -> Workspace:
        """Return the workspace in `folder`, else $CONVNEXT_EDGE_WORKSPACE, else ./convnext-edge-out.

        What killed commands have left there is finished or removed, also their temporary files, and what they
        began in the current folder, which `-o NAME` writes to. In any other folder, the next writer does it.
        """
        settle_temporary()
        workspace = cls(Path(folder or os.environ.get(VARIABLE) or DEFAULT))
        if not str(workspace.folder).isprintable():
            raise UsageError(
                f"${VARIABLE} {str(workspace.folder)!a} has characters that runtimes do not take in a path",
                hint="Name another folder.",
            )
        for place in (Path(), workspace.snapshots, workspace.answers, workspace.cells):
            remove_begun(place)
        for place in (workspace.folder, workspace.results):
            settle(place)
        return workspace

    @property
    def results(self) -> Path:
        """The folder of what `validate` and `benchmark` found."""
        return self.folder / "results"

    @property
    def answers(self) -> Path:
        """The folder of what references answered to the images of `validate`."""
        return self.folder / "answers"

    @property
    def cells(self) -> Path:
        """The folder of the parts of cells that `compare` has done."""
        return self.folder / "cells"

    @property
    def programs(self) -> Path:
        """The folder of programs that were built for devices."""
        return self.folder / "programs"

    @property
    def snapshots(self) -> Path:
        """The folder of what `finetune` goes on from."""
        return self.folder / "snapshots"

    def choose(
        self,
        named: AnyPath | None,
        wanted: Callable[[Description], bool],
        *,
        what: str,
        command: str,
        target: str | None = None,
    ) -> Artifact:
        """Return the artifact at `named`, or else the newest that `wanted` accepts, and say which.

        Of one that did not pass when it was made, that is said too.
        what: the thing that is looked for, as messages name it; `target` is added to that name. command: what
        makes one.
        Raises ArtifactError where there is none.
        """
        if named is None:
            path = self.newest(wanted, what=what, command=command, target=target)
            note(f"taking {path}, the newest {what} of the workspace")
            if path.stat().st_mtime > time.time() + AHEAD:
                note(f"WARNING: {path} is from the future by this clock: name the {what} that you mean")
        else:
            path = Path(named)
        artifact = open_artifact(path)
        announce_failings(artifact)
        return artifact

    def newest(
        self, wanted: Callable[[Description], bool], *, what: str, command: str, target: str | None = None
    ) -> Path:
        """Return the path of the newest artifact that `wanted` accepts; the rest is as of `choose`."""
        settle(self.folder)
        for path in self._newest_first():
            if wanted(read_sidecar(path).description):
                return path
        sought = f"{what} for {target}" if target else what
        raise ArtifactError(
            f"there is no {sought} in the workspace {self.folder}", hint=f"Make one: {command}"
        )

    def choose_exported(self, named: AnyPath | None) -> Artifact:
        """Return the artifact at `named`, or else the newest FP32 model that `export` wrote."""
        return self.choose(named, is_exported, what=EXPORTED, command=EXPORT)

    def check_exported(self) -> None:
        """Raise ArtifactError where there is no model that `export` wrote."""
        self.newest(is_exported, what=EXPORTED, command=EXPORT)

    def _newest_first(self) -> Iterator[Path]:
        sidecars = list(self.folder.glob("*.json"))
        paths = [path.with_suffix("") for path in sidecars]
        artifacts = [path for path in paths if path.is_file() and sidecar_path(path).is_file()]
        yield from sorted(artifacts, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def is_exported(description: Description) -> bool:
    """Return whether an artifact is an FP32 model that `export` wrote."""
    return description.kind == "onnx" and description.precision == "fp32"


def check_suffix(output: Path | None, suffix: str) -> None:
    """Raise UsageError for a file to write whose name ends as that of another kind of file."""
    wanted = Path("name" + suffix).suffix
    if output is not None:
        check_new(output.name, UsageError, hint="Give -o a name that is short, and of usual letters.")
    if output is not None and output.suffix != wanted:
        raise UsageError(
            f"-o {output} does not end in {wanted}, by which readers know the kind of file",
            hint=f"Take {output.name.removesuffix(output.suffix) or 'model'}{wanted}.",
        )


def file_name(description: Description, suffix: str) -> str:
    """Return the name of an artifact in the workspace, as `tiny-int8-openvino.onnx`.

    It tells a resolution that is not the variant's own, a recipe that is not the target's own, a machine
    that is not x86-64, and an opset that is not the usual one.
    """
    parts = [description.stem]
    size = description.preprocessing.size_text
    usual = description.usual_resolution
    if size != str(usual) and (usual is not None or description.preprocessing.width is not None):
        parts.append(f"{size}px")
    if description.dynamic_size:
        parts.append("dynamic")
    if description.input_type == "uint8":
        parts.append("uint8")
    if description.precision != "fp32":
        parts.append(description.precision)
    if description.method not in (None, "ptq"):
        parts.append(str(description.method))
    if description.recipe_name:
        parts.append(f"recipe-{description.recipe_name}")
    if description.target:
        parts.append(description.target)
    if description.machine not in (None, USUAL_MACHINE):
        parts.append(str(description.machine))
    if description.opset not in (None, USUAL):
        parts.append(f"opset{description.opset}")
    return "-".join(parts) + suffix
