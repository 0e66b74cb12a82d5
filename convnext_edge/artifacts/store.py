"""Artifacts on the disk: opened, written, found and removed, each with its sidecar.

An artifact is written whole or not at all, and one that does not match its sidecar is not opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from convnext_edge.artifacts.artifact import Artifact, Description, Link, Verdict
from convnext_edge.artifacts.digests import Stamp, remember_moved, sha256
from convnext_edge.artifacts.files import settle, unfinished, write_whole
from convnext_edge.artifacts.locks import reading
from convnext_edge.artifacts.provenance import command_line, tool_versions
from convnext_edge.artifacts.sidecar import read_sidecar, sidecar_path, write_sidecar
from convnext_edge.errors import ArtifactError, UsageError

Filled = TypeVar("Filled")


def open_artifact(path: Path) -> Artifact:
    """Return the artifact at `path`; raise ArtifactError where file and sidecar are not a matching pair.

    Inside `locks.reading`, its files stay as they are until they are loaded.
    """
    with reading():
        settle(path.parent)
        return _opened(path)


def check_there(path: Path) -> None:
    """Raise ArtifactError where there is no artifact at `path`; its files are not looked into."""
    if not (path.is_file() and sidecar_path(path).is_file()):
        _refuse_half_written(path)
    if not path.is_file():
        is_what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise ArtifactError(f"{path} {is_what}", hint="Name a file that export, quantize or build wrote.")
    if not sidecar_path(path).is_file():
        if owner := owner_of(path):
            raise ArtifactError(f"{path} is a part of {owner.name}", hint=f"Name {owner}.")
        raise ArtifactError(
            f"{path} is not an artifact of convnext-edge: it has no sidecar {sidecar_path(path).name}",
            hint="Start from the checkpoint: convnext-edge export --checkpoint FILE.",
        )


def _opened(path: Path) -> Artifact:
    check_there(path)
    artifact = read_sidecar(path)
    for name, digest in artifact.files.items():
        _check_digest(path.parent / name, digest)
    return artifact


def write_artifact(
    path: Path,
    description: Description,
    write: Callable[[Path], dict[str, Any] | None],
    *,
    judge: Callable[[Artifact], Verdict | None] = lambda made: None,
) -> Artifact:
    """Let `write` make the file (and companions beside it) in a scratch folder, then move all into place.

    write: gets the path to write to; what it returns is added to the description's `engine`. judge: sees the
    whole artifact in the scratch folder, and what it returns is the description's `verdict`; with None, that
    stays as it is.
    Raises UsageError where a file or companion would take the place of one that is not ours. Whatever fails,
    the artifact that was there before is there still.
    """

    def make(file: Path) -> tuple[Artifact, dict[str, Stamp]]:
        shown = write(file)
        engine = {**(description.engine or {}), **shown} if shown else description.engine
        made = sorted(file.parent.iterdir())
        digests = {item.name: sha256(item) for item in made}
        described = replace(description, engine=engine)
        artifact = Artifact(file, described, digests, tool_versions(), command_line())
        described = replace(described, verdict=judge(artifact) or described.verdict)
        artifact = replace(artifact, path=path, description=described)
        sidecar = sidecar_path(file)
        write_sidecar(artifact, sidecar)
        for item in made:  # safetensors would let only their owner read its files
            item.chmod(sidecar.stat().st_mode)
        return artifact, {item.name: Stamp.of(item) for item in made}

    artifact, stamps = write_whole(path, make, superseded=lambda names: superseded(path, names))
    for name, digest in artifact.files.items():
        remember_moved(path.parent / name, digest, stamps[name])
    return artifact


def superseded(path: Path, names: Collection[str]) -> list[str]:
    """Return the names of files that the artifact at `path` no longer has when `names` take its place.

    Raises UsageError where one of them is the name of a file that is not the artifact's.
    """
    folder, sidecar = path.parent, sidecar_path(path)
    try:
        files = read_sidecar(path).files if sidecar.is_file() else {}
    except ArtifactError:  # whose it is, nobody can tell; making it again is what a damaged one needs
        return []
    own = {*files, sidecar.name} if files else set()
    foreign = next((name for name in names if name not in own and os.path.lexists(folder / name)), None)
    if foreign is not None:
        raise UsageError(
            f"{folder / foreign} is no file of convnext-edge, and {path.name} would overwrite it",
            hint="Choose another --workspace, name another file with -o, or give that one another name.",
        )
    # a sidecar may come from anybody: what it names without its digest is not the artifact's
    gone = [name for name in files if name not in names and (folder / name).is_file()]
    return [name for name in gone if sha256(folder / name) == files[name]]


def write_folder(folder: Path, fill: Callable[[Path], Filled]) -> Filled:
    """Let `fill` fill a scratch folder, then move it into place; return what `fill` returns.

    Raises UsageError for a folder that holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists", hint="Take it away, or name another folder with -o.")

    def make(scratch: Path) -> Filled:
        scratch.mkdir()
        return fill(scratch)

    return write_whole(folder, make)


def find_link(link: Link, folders: Iterable[Path], *, wanted_by: Path) -> Artifact:
    """Return the artifact behind a link, from the first of the folders that has it as it was.

    Raises ArtifactError where it is in none, or is no longer what it was.
    """
    places = list(dict.fromkeys(folders))
    names = (link.name, unmistakable(link))
    paths = [place / name for place in places for name in names if (place / name).is_file()]
    # a file of the same name may be somebody else's, as the checkpoint that the weights were read from
    path = next((path for path in paths if is_artifact(path) and sha256(path) == link.sha256), None)
    if not paths:
        raise ArtifactError(
            f"{wanted_by} was made from {link.name}, which is not in {' or '.join(map(str, places))}",
            hint=f"Put {link.name} and its sidecar back, or start again from the checkpoint with export.",
        )
    if path is None:
        _check_digest(paths[0], link.sha256)
    return open_artifact(path or paths[0])


def unmistakable(link: Link) -> str:
    """Return the name of a file that is kept where another has its own: with 8 digits of its digest."""
    name = Path(link.name)
    return f"{name.stem}-{link.sha256[:8]}{name.suffix}"


def digest_of(path: Path) -> str | None:
    """Return the digest that the sidecar of `path` tells; None where nothing of ours is."""
    try:
        return read_sidecar(path).sha256
    except ArtifactError:
        return None


def owner_of(path: Path) -> Path | None:
    """Return the artifact beside a file that it is, or is a companion or the sidecar of; None for no such."""
    for sidecar in sorted(path.parent.glob("*.json")):
        artifact = sidecar.with_suffix("")
        try:
            names = {sidecar.name, *read_sidecar(artifact).files} if artifact.is_file() else set()
        except ArtifactError:  # damaged, or of another program
            names = set()
        if path.name in names:
            return artifact
    return None


def refuse_part(path: Path) -> None:
    """Raise UsageError where a file to write is an artifact, a companion of one, or its sidecar."""
    if artifact := owner_of(path):
        raise UsageError(
            f"{path} belongs to the artifact {artifact.name}, and writing would replace it",
            hint="Name another file with -o.",
        )


def is_artifact(path: Path) -> bool:
    """Return whether a file has a sidecar."""
    return sidecar_path(path).is_file()


def _check_digest(path: Path, expected: str) -> None:
    if not path.is_file():
        _refuse_half_written(path)
        raise ArtifactError(
            f"{path} is missing, though the sidecar lists it", hint="Make the artifact again."
        )
    found = sha256(path)
    if found != expected:
        _refuse_half_written(path)
        raise ArtifactError(
            f"{path} does not match its sidecar: sha256 {found[:12]}… instead of {expected[:12]}…",
            hint="The file was changed after it was made; make it again.",
        )


def _refuse_half_written(path: Path) -> None:
    """Raise ArtifactError where a killed writer is to blame, whose files this user may not move."""
    left = unfinished(path.parent)
    if left:
        raise ArtifactError(
            f"{path} was being written by a command that was killed, and this user may not complete that:"
            f" {path.parent} cannot be written, where {', '.join(left)} waits to be moved into place",
            hint=f"Let who may write there run any convnext-edge command with --workspace {path.parent}.",
        )
