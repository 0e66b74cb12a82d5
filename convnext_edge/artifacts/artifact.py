"""Artifacts: model files, each with a sidecar that says what it is and where it comes from.

An artifact X is written whole or not at all, and X.json beside it holds its digest, its parent's, the
architecture, target, precision, preprocessing, recipe, calibration set, tool versions and command line.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from convnext_edge.artifacts.provenance import command_line, sha256, tool_versions
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.images.preprocessing import InputType, Preprocessing

Kind = Literal["weights", "onnx", "engine"]
SIDECAR_FORMAT = 1


@dataclass(frozen=True)
class Link:
    """Another artifact, found by its name beside this one and trusted by its digest."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Calibration:
    """The images that ranges were taken from."""

    name: str
    images: int
    digest: str


@dataclass(frozen=True)
class Description:
    """What a sidecar says of its artifact, but for the digests, which come with the writing.

    stem: what its files are called by: the variant, or the checkpoint's file name. variant: its name in
    the table, or None for an architecture that has none. classes: names in the order of the logits, or
    empty. precision: as `fp32`, `int8`, `w8a16`. method: how it was quantized, or None.
    engine: how an engine was built: runtime, version and what else its target records.
    calibration_hashes: first 16 hex digits of the SHA-256 of each calibration image, so that images that
    were calibrated with are recognized when a model is validated.
    """

    kind: Kind
    stem: str
    variant: str | None
    architecture: dict[str, Any]
    preprocessing: Preprocessing
    precision: str = "fp32"
    target: str | None = None
    input_type: InputType = "float32"
    method: str | None = None
    recipe: dict[str, Any] | None = None
    calibration: Calibration | None = None
    calibration_hashes: tuple[str, ...] = ()
    quantized_layers: tuple[str, ...] = ()
    float_layers: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    engine: dict[str, Any] | None = None
    weights: Link | None = None
    parent: Link | None = None

    @property
    def weights_only(self) -> bool:
        """Whether weights are quantized and activations float, as in `w8a32`."""
        return self.precision.startswith("w") and self.precision.endswith("a32")


@dataclass(frozen=True)
class Artifact:
    """A file of ours with what its sidecar says. `files`: digest of each file, companions included."""

    path: Path
    description: Description
    files: dict[str, str]
    tools: dict[str, str] = field(default_factory=dict)
    command: str = ""

    @property
    def sha256(self) -> str:
        return self.files[self.path.name]

    @property
    def link(self) -> Link:
        return Link(self.path.name, self.sha256)

    @property
    def bytes(self) -> int:
        return sum((self.path.parent / name).stat().st_size for name in self.files)


def sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def open_artifact(path: Path) -> Artifact:
    """The artifact at `path`; raises ArtifactError where file and sidecar are not a matching pair of ours."""
    if not path.is_file():
        is_what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise ArtifactError(f"{path} {is_what}", hint="Name a file that export, quantize or build wrote.")
    if not sidecar_path(path).is_file():
        raise ArtifactError(
            f"{path} is not an artifact of convnext-edge: it has no sidecar {sidecar_path(path).name}",
            hint="Start from the checkpoint: convnext-edge export --checkpoint FILE.",
        )
    artifact = read_sidecar(path)
    for name, digest in artifact.files.items():
        _check_digest(path.parent / name, digest)
    return artifact


def read_sidecar(path: Path) -> Artifact:
    """What the sidecar of `path` says, without a look at the file itself."""
    sidecar = sidecar_path(path)
    try:
        value = json.loads(sidecar.read_text(encoding="utf-8"))
        if value["format"] != SIDECAR_FORMAT:
            raise ArtifactError(
                f"{sidecar} has format {value['format']}, this version reads {SIDECAR_FORMAT}",
                hint="Make the artifact again with this version.",
            )
        files = dict(value["files"])
        if path.name not in files:
            raise ArtifactError(
                f"{sidecar} describes {', '.join(sorted(files))}, not {path.name}", hint="Rename it back."
            )
        return Artifact(path, _description(value), files, dict(value["tools"]), str(value["command"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"it has no key {error}" if isinstance(error, KeyError) else str(error)
        raise ArtifactError(
            f"{sidecar} is not a sidecar of ours: {why}", hint="Make the artifact again."
        ) from error


def write_artifact(
    path: Path, description: Description, write: Callable[[Path], dict[str, Any] | None]
) -> Artifact:
    """Let `write` make the file (and companions beside it) in a scratch folder, then move all into place.

    What `write` returns is added to the description's `engine`.
    Whatever fails, nothing half-written stays behind: the sidecar goes last, and only complete files move.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as scratch:
            shown = write(Path(scratch) / path.name)
            if shown:
                description = replace(description, engine={**(description.engine or {}), **shown})
            made = sorted(Path(scratch).iterdir())
            artifact = Artifact(
                path, description, {file.name: sha256(file) for file in made}, tool_versions(), command_line()
            )
            sidecar = Path(scratch) / sidecar_path(path).name
            sidecar.write_text(json.dumps(_to_json(artifact), indent=2) + "\n", encoding="utf-8")
            for file in [*made, sidecar]:
                file.chmod(sidecar.stat().st_mode)  # safetensors would let only their owner read its files
                _sync(file)
            sidecar_path(path).unlink(missing_ok=True)
            for file in [*made, sidecar]:
                file.replace(path.parent / file.name)
            _sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    return artifact


def write_folder(folder: Path, fill: Callable[[Path], str]) -> str:
    """Let `fill` fill a scratch folder, then move it into place; returns what `fill` returns.

    Raises UsageError for a folder that holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists", hint="Take it away, or name another folder with -o.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as scratch:
            made = Path(scratch) / folder.name
            made.mkdir()
            returned = fill(made)
            for file in made.rglob("*"):
                _sync(file)
            made.replace(folder)
            _sync(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return returned


def remove_artifact(artifact: Artifact) -> None:
    """Delete the file, its companions and its sidecar."""
    for name in [sidecar_path(artifact.path).name, *artifact.files]:
        (artifact.path.parent / name).unlink()


def find_link(link: Link, folders: Iterable[Path], *, wanted_by: Path) -> Artifact:
    """The artifact behind a link, in the first of the folders that has it.

    Raises ArtifactError where it is in none, or is no longer what it was.
    """
    places = list(dict.fromkeys(folders))
    path = next((folder / link.name for folder in places if (folder / link.name).is_file()), None)
    if path is None:
        raise ArtifactError(
            f"{wanted_by} was made from {link.name}, which is not in {' or '.join(map(str, places))}",
            hint=f"Put {link.name} and its sidecar back, or start again from the checkpoint with export.",
        )
    _check_digest(path, link.sha256)
    return open_artifact(path)


def _check_digest(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ArtifactError(
            f"{path} is missing, though the sidecar lists it", hint="Make the artifact again."
        )
    found = sha256(path)
    if found != expected:
        raise ArtifactError(
            f"{path} does not match its sidecar: sha256 {found[:12]}… instead of {expected[:12]}…",
            hint="The file was changed after it was made; make it again.",
        )


def _to_json(artifact: Artifact) -> dict[str, Any]:
    described = {
        **asdict(artifact.description),
        "preprocessing": artifact.description.preprocessing.to_json(),
    }
    return {
        "format": SIDECAR_FORMAT,
        "sha256": artifact.sha256,
        "files": artifact.files,
        **described,
        "tools": artifact.tools,
        "command": artifact.command,
    }


def _description(value: dict[str, Any]) -> Description:
    known: dict[str, Any] = {f.name: value[f.name] for f in fields(Description)}
    known["preprocessing"] = Preprocessing.from_json(known["preprocessing"])
    for name, kind in (("weights", Link), ("parent", Link), ("calibration", Calibration)):
        known[name] = None if known[name] is None else kind(**known[name])
    for name in ("quantized_layers", "float_layers", "classes", "calibration_hashes"):
        known[name] = tuple(known[name])
    return Description(**known)


def _sync(path: Path) -> None:
    """fsync of a file, or of a folder where the system allows it."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> ArtifactError:
    """What a person is told of it; of the space on the disk where that may be the cause."""
    if isinstance(error, shutil.Error):  # of a whole folder: one line a file, and one tells enough
        said = re.sub(r"^\[Errno \d+\] (.*?): .*", r"\1", str(error.args[0][0][-1]))
    else:
        said = error.strerror or str(error)
    hint = "choose another folder with -o or --workspace."
    if error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        hint = f"{folder} has {shutil.disk_usage(folder).free / 2**20:.0f} MiB free; {hint}"
    return ArtifactError(f"cannot write {path}: {said}", hint=hint[0].upper() + hint[1:])
